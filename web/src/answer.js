// One answer being written: it fills a message from a stream, and knows when what came.

import { streamChat } from "./api.js";
import { requestBody } from "./conversation.js";

export class Answer {
  #controller = new AbortController();

  constructor(conversation, message) {
    this.conversation = conversation;
    this.message = message;
  }

  stop() {
    this.#controller.abort();
  }

  // Resolves when all is over, whatever happened: the message says what. `grown` is called with every piece.
  async run(model, grown) {
    const { message } = this;
    const clock = { sent: performance.now(), first: 0, last: 0, pieces: 0, tokens: 0, finish: "" };
    try {
      for await (const chunk of streamChat(requestBody(this.conversation, model), this.#controller.signal)) {
        if (take(message, chunk, clock)) grown();
      }
    } catch (error) {
      if (error.name === "AbortError") clock.finish = "stopped";
      else message.error = error.message;
    }
    message.stats = statsOf(clock);
  }
}

// Whether the chunk brought text.
function take(message, chunk, clock) {
  const choice = chunk.choices?.[0];
  const text = choice?.delta?.content ?? "";
  const reasoning = choice?.delta?.reasoning_content ?? "";
  clock.finish = choice?.finish_reason ?? clock.finish;
  clock.tokens = chunk.usage?.completion_tokens ?? clock.tokens;
  if (!text && !reasoning) return false;
  message.content += text;
  message.reasoning += reasoning;
  clock.last = performance.now();
  clock.first ||= clock.last;
  clock.pieces += 1;
  return true;
}

// Tokens/s between the first and the last piece. A stopped answer has no count by the server; its pieces are counted.
function statsOf({ sent, first, last, pieces, tokens, finish }) {
  if (!first) return finish ? { finish } : null;
  const counted = tokens || pieces;
  const rate = counted > 1 && last > first ? (counted - 1) / ((last - first) / 1000) : null;
  return { tokens: counted, ttft: first - sent, rate, finish };
}
