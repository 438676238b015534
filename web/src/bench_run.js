// A benchmark of this server by its own route, level after level: a browser could not hold so many connections.

import { native } from "./api.js";
import { readEngine, readStats } from "./engine_reading.js";
import { difference, quantile } from "./histogram.js";

const POLL_MS = 400;
const TOPICS = [
  "Explain how a suspension bridge carries its load.",
  "Describe a morning in a harbour town.",
  "Why do leaves change their colour in autumn?",
  "Tell the story of the first printed books.",
  "How does a refrigerator keep things cold?",
];

// All requests share five prompts, which the prefix cache finds again, or each has its own from the first word on.
function promptsFor({ requests, distinct }) {
  if (!distinct) return TOPICS;
  const run = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  return Array.from(
    { length: Math.min(requests, 1000) },
    (_, i) => `${run} ${i}: ${TOPICS[i % TOPICS.length]}`,
  );
}

// Tells how far the level is, by the engine's count of tokens, until it is stopped.
function watch(model, before, wanted, progress) {
  let timer = 0;
  const look = async () => {
    const stats = await readStats(model).catch(() => null);
    if (timer === null) return;
    if (stats) progress(Math.min(1, (stats.generated_tokens - before.generated_tokens) / wanted));
    timer = setTimeout(look, POLL_MS);
  };
  look();
  return () => {
    clearTimeout(timer);
    timer = null;
  };
}

function quantilesOf(before, after, name) {
  const histogram = difference(after.histograms[name], before.histograms[name]);
  return Object.fromEntries([50, 90, 95, 99].map((n) => [`p${n}`, quantile(histogram, n / 100)]));
}

// One level: {model, requests, max_tokens, distinct} at `concurrency`. progress(share) is called as it goes.
export async function runLevel(settings, concurrency, progress, signal) {
  const { model, requests, max_tokens } = settings;
  const before = await readEngine(model, { signal });
  const stop = watch(model, before.stats, requests * max_tokens, progress);
  try {
    const data = await native("benchmark", {
      signal,
      body: {
        model,
        requests,
        concurrency,
        max_tokens,
        prompt: promptsFor(settings),
        ignore_eos: true,
        temperature: 0.7,
      },
    });
    const after = await readEngine(model, { signal });
    return {
      concurrency,
      ...data,
      ttft: quantilesOf(before, after, "cllm_time_to_first_token_seconds"),
      between_tokens: quantilesOf(before, after, "cllm_inter_token_seconds"),
    };
  } finally {
    stop();
  }
}
