// The view "Engine": what the server is doing, second by second, from GET /stats and GET /metrics.

import { readEngine } from "./engine_reading.js";
import { Chart } from "./chart.js";
import { h } from "./dom.js";
import { EngineSamples, KEPT_S, RATE_S } from "./engine_samples.js";
import { count, counted, number, percent, seconds } from "./format.js";
import { parseHistograms, quantile, total } from "./histogram.js";
import { ModelSelect } from "./model_select.js";

const PAUSE_MS = 1000;
const SHOWN_SEQUENCES = 50;
const LATENCIES = [
  ["cllm_request_queue_seconds", "In the queue"],
  ["cllm_time_to_first_token_seconds", "To the first token"],
  ["cllm_inter_token_seconds", "Between two tokens"],
  ["cllm_request_seconds", "Whole request"],
  ["cllm_step_seconds", "Step"],
];
const SHARES = [0.5, 0.9, 0.95, 0.99];

// Whole minutes, as many as there are, or the first one.
function shownMinutes(plot) {
  return Math.min(KEPT_S / 60, Math.max(1, Math.ceil(-(plot.data[0][0] ?? 0) / 60)));
}

function timeSplits(plot) {
  const minutes = shownMinutes(plot);
  const step = minutes === 1 ? 15 : minutes === 2 ? 30 : 60;
  return Array.from({ length: (minutes * 60) / step + 1 }, (_, i) => i * step - minutes * 60);
}

function ago(at) {
  if (!at) return "now";
  return at % 60 ? `−${-at} s` : `−${-at / 60} min`;
}

const time = { range: (plot) => [-60 * shownMinutes(plot), 0], splits: timeSplits, format: ago };

function chart(title, format, labels, options = {}) {
  const series = labels.map((label, i) => ({ label, colour: `--series-${i + 1}`, fill: i === 0 }));
  return new Chart(title, series, { format, x: time, ...options });
}

// Of the KV pool; a model that is not loaded has none.
function inUse({ blocks_used, blocks_total }) {
  return blocks_total ? blocks_used / blocks_total : null;
}

export class Engine {
  #samples = new EngineSamples();
  #all = false;
  pageTitle = "Engine – cLLM";

  constructor(connection) {
    this.connection = connection;
    this.charts = {
      throughput: chart("Tokens per second", number, ["generated", "of prompts"]),
      requests: chart("Requests", number, ["running", "waiting"], { top: 4 }),
      rows: chart("Rows per step", number, ["rows"], { top: 4 }),
      pool: chart("KV pool", percent, ["in use", "prompts found in it"], { top: 1 }),
      first: chart("Time to the first token", seconds, ["median", "95 %"]),
      gap: chart("Time between two tokens", seconds, ["median", "95 %"]),
    };
    this.models = new ModelSelect(connection, {
      id: "engine-model",
      chosen: () => {
        this.#samples = new EngineSamples();
        this.#poll();
      },
    });
    this.tiles = h("dl", { class: "tiles" });
    this.latencies = h("tbody");
    this.sequences = h("tbody");
    this.more = h("p", { class: "hint" });
    this.problem = h("p", { class: "error", role: "alert", hidden: true });
    this.element = h(
      "div",
      { class: "board" },
      h("h1", { class: "visually-hidden" }, "Engine"),
      this.models.element,
      this.problem,
      this.tiles,
      h("div", { class: "charts" }, ...Object.values(this.charts).map(({ element }) => element)),
      this.#latencyTable(),
      this.#sequenceTable(),
    );
    document.addEventListener("visibilitychange", () => this.#poll());
  }

  shown() {
    this.active = true;
    this.#poll();
  }

  hidden() {
    this.active = false;
    clearTimeout(this.timer);
  }

  #latencyTable() {
    const choose = (all) => () => {
      this.#all = all;
      this.#drawLatencies();
    };
    const radio = (label, all) =>
      h(
        "label",
        {},
        h("input", { type: "radio", name: "window", checked: !all, onchange: choose(all) }),
        label,
      );
    return h(
      "section",
      { class: "panel" },
      h(
        "div",
        { class: "panel-title" },
        h("h2", { id: "latencies" }, "Latencies"),
        h(
          "fieldset",
          { class: "segments" },
          h("legend", { class: "visually-hidden" }, "Of which time"),
          radio("Last minute", false),
          radio("Since the start", true),
        ),
      ),
      h(
        "div",
        { class: "table-scroll", tabindex: "0", role: "region", "aria-labelledby": "latencies" },
        h(
          "table",
          { class: "data" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col" }, "Time"),
              ...["Number", "Mean", ...SHARES.map(percent)].map((name) =>
                h("th", { scope: "col", class: "number" }, name),
              ),
            ),
          ),
          this.latencies,
        ),
      ),
    );
  }

  #sequenceTable() {
    const head = [
      ["Request", ""],
      ["State", ""],
      ["Age", "number"],
      ["Prompt", "number"],
      ["Tokens", "number"],
      ["Progress", ""],
    ];
    return h(
      "section",
      { class: "panel" },
      h("div", { class: "panel-title" }, h("h2", { id: "sequences" }, "Sequences")),
      h(
        "div",
        { class: "table-scroll", tabindex: "0", role: "region", "aria-labelledby": "sequences" },
        h(
          "table",
          { class: "data" },
          h(
            "thead",
            {},
            h("tr", {}, ...head.map(([name, style]) => h("th", { scope: "col", class: style }, name))),
          ),
          this.sequences,
        ),
      ),
      this.more,
    );
  }

  async #poll() {
    clearTimeout(this.timer);
    if (!this.active || document.hidden || this.reading) return;
    this.reading = true;
    const samples = this.#samples; // another model's, once another is chosen
    try {
      const { stats, histograms } = await readEngine(this.models.model.id);
      this.problem.hidden = true;
      if (samples === this.#samples) {
        samples.add(stats, histograms);
        this.#draw();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.reading = false;
    this.timer = setTimeout(() => this.#poll(), PAUSE_MS);
  }

  // Said once, not every second.
  #fail(error) {
    if (!this.problem.hidden && this.problem.textContent === error.message) return;
    this.problem.hidden = false;
    this.problem.textContent = error.message;
    this.connection.check();
  }

  #draw() {
    const samples = this.#samples;
    this.charts.throughput.set(
      samples.columns(
        ({ place }) => samples.rate("generated_tokens", place),
        ({ place }) => samples.rate("prompt_tokens", place),
      ),
    );
    this.charts.requests.set(
      samples.columns(
        ({ stats }) => stats.running,
        ({ stats }) => stats.waiting,
      ),
    );
    this.charts.rows.set(
      samples.columns(({ place }) => samples.share("rows", "steps", { place, window: RATE_S })),
    );
    this.charts.pool.set(
      samples.columns(
        ({ stats }) => inUse(stats),
        ({ place }) => samples.share("prefix_hit_tokens", "prefix_query_tokens", { place }),
      ),
    );
    this.#drawQuantiles(this.charts.first, "cllm_time_to_first_token_seconds");
    this.#drawQuantiles(this.charts.gap, "cllm_inter_token_seconds");
    const { stats } = samples.latest;
    this.#drawTiles(stats);
    this.#drawLatencies();
    this.#drawSequences(stats.sequences, stats.live);
  }

  #drawQuantiles(target, name) {
    const samples = this.#samples;
    target.set(
      samples.columns(
        ({ place }) => samples.quantile(name, 0.5, place),
        ({ place }) => samples.quantile(name, 0.95, place),
      ),
    );
  }

  #drawTiles(stats) {
    const samples = this.#samples;
    const hits = samples.share("prefix_hit_tokens", "prefix_query_tokens");
    const tiles = [
      ["Tokens/s", number(samples.rate("generated_tokens")), "generated, last 5 s"],
      ["Running", count(stats.running), `${count(stats.waiting)} waiting`],
      ["Rows per step", number(samples.share("rows", "steps")), "last minute"],
      [
        "KV pool",
        percent(inUse(stats)),
        `${count(stats.blocks_used)} of ${count(stats.blocks_total)} blocks`,
      ],
      ["Prefix hits", hits === null ? "–" : percent(hits), "of prompts, last minute"],
      [
        "Uptime",
        seconds(stats.uptime),
        `${counted(stats.requests, "request")}, ${counted(stats.generated_tokens, "token")}`,
      ],
    ];
    this.tiles.replaceChildren(
      ...tiles.map(([name, value, note]) =>
        h(
          "div",
          { class: "tile" },
          h("dt", {}, name),
          h("dd", { class: "tile-value" }, value),
          h("dd", { class: "hint" }, note),
        ),
      ),
    );
  }

  #drawLatencies() {
    if (!this.#samples.latest) return;
    this.latencies.replaceChildren(
      ...LATENCIES.map(([name, label]) => {
        const histogram = this.#samples.histogram(name, { all: this.#all });
        const n = total(histogram);
        const cells = [
          count(n),
          n ? seconds(histogram.sum / n) : "–",
          ...SHARES.map((share) => seconds(quantile(histogram, share))),
        ];
        return h(
          "tr",
          {},
          h("th", { scope: "row" }, label),
          ...cells.map((text) => h("td", { class: "number" }, text)),
        );
      }),
    );
  }

  #drawSequences(sequences, live) {
    const rows = sequences.slice(0, SHOWN_SEQUENCES).map((one) => {
      const bar = h("div", { class: "progress" }, h("div", {}));
      bar.firstChild.style.width = `${Math.min(100, (100 * one.tokens) / one.max_tokens)}%`;
      return h(
        "tr",
        {},
        h("td", { class: "id" }, one.id),
        h("td", {}, h("span", { class: `state ${one.state}` }, one.state)),
        h("td", { class: "number" }, seconds(one.age)),
        h("td", { class: "number" }, count(one.prompt_tokens)),
        h("td", { class: "number" }, `${count(one.tokens)} / ${count(one.max_tokens)}`),
        h("td", {}, bar),
      );
    });
    const none = h("tr", {}, h("td", { colspan: "6", class: "none" }, "Nothing is being computed."));
    this.sequences.replaceChildren(...(rows.length ? rows : [none]));
    this.more.textContent = live > rows.length ? `and ${count(live - rows.length)} more` : "";
  }
}
