// The view "Bench": throughput against concurrency, measured by the server itself.

import { runLevel } from "./bench_run.js";
import { Chart } from "./chart.js";
import { download, h } from "./dom.js";
import { number, seconds } from "./format.js";
import { ModelSelect } from "./model_select.js";
import { recall, remember } from "./remembered.js";

const DEFAULTS = { model: "", levels: [8, 16, 24, 32], requests: 72, max_tokens: 50, distinct: true };

function parseLevels(text) {
  const levels = text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(Number);
  const valid =
    levels.length > 0 &&
    levels.length <= 12 &&
    levels.every((n) => Number.isInteger(n) && n >= 1 && n <= 1024);
  return valid ? [...new Set(levels)].sort((a, b) => a - b) : null;
}

export class Bench {
  pageTitle = "Bench – cLLM";

  constructor(connection) {
    this.connection = connection;
    this.settings = { ...DEFAULTS, ...recall("bench-settings", {}) };
    this.result = recall("bench-result", null);
    this.progress = h("ul", { class: "levels" });
    this.status = h("p", { class: "visually-hidden", role: "status" });
    this.problem = h("p", { class: "error", role: "alert", hidden: true });
    this.idle = h(
      "p",
      { class: "hint" },
      "The server measures itself: at each level so many of its own requests run at once, beside those of others, ",
      "until all are answered.",
    );
    this.rows = h("tbody");
    this.#makeCharts();
    this.results = h(
      "div",
      { class: "results", hidden: true },
      h("div", { class: "charts" }, this.throughput.element, this.latency.element),
      this.#table(),
    );
    this.element = h(
      "div",
      { class: "board" },
      h("h1", { class: "visually-hidden" }, "Bench"),
      this.#form(),
      this.problem,
      this.idle,
      this.progress,
      this.results,
      this.status,
    );
    this.#drawResult();
  }

  shown() {}

  // ---- the elements

  #makeCharts() {
    const levels = () => this.result?.levels.map(({ concurrency }) => concurrency) ?? [];
    const x = {
      points: true,
      splits: () => levels(),
      format: (n) => String(n),
      range: () => {
        const all = levels();
        const margin = Math.max(1, (all.at(-1) - all[0]) * 0.06);
        return all.length ? [all[0] - margin, all.at(-1) + margin] : [0, 1];
      },
    };
    this.throughput = new Chart(
      "Tokens per second, by requests at once",
      [{ label: "all together", colour: "--series-1", fill: true }],
      { format: number, x },
    );
    this.latency = new Chart(
      "Time to the first token, by requests at once",
      [
        { label: "median", colour: "--series-1" },
        { label: "95 %", colour: "--series-2" },
      ],
      { format: seconds, x },
    );
  }

  #form() {
    const field = (id, label, input) =>
      h("div", { class: "bench-field" }, h("label", { for: id }, label), input);
    const numeric = (id, value) =>
      h("input", { id, type: "number", min: "1", required: true, value: String(value) });
    this.levels = h("input", {
      id: "bench-levels",
      type: "text",
      value: this.settings.levels.join(", "),
      required: true,
      inputmode: "numeric",
      oninput: () => this.levels.setCustomValidity(""),
    });
    this.requests = numeric("bench-requests", this.settings.requests);
    this.tokens = numeric("bench-tokens", this.settings.max_tokens);
    this.prompts = h(
      "select",
      { id: "bench-prompts" },
      h("option", { value: "distinct" }, "each its own"),
      h("option", { value: "shared" }, "five that repeat"),
    );
    this.prompts.value = this.settings.distinct ? "distinct" : "shared";
    this.models = new ModelSelect(this.connection, { id: "bench-model" });
    this.models.choose(this.settings.model);
    this.button = h("button", { type: "submit", class: "primary" }, "Start");
    return h(
      "form",
      {
        class: "bench-form panel",
        onsubmit: (event) => {
          event.preventDefault();
          if (this.controller) this.controller.abort();
          else this.start();
        },
      },
      this.models.element,
      field("bench-levels", "Requests at once", this.levels),
      field("bench-requests", "Requests a level", this.requests),
      field("bench-tokens", "Tokens a request", this.tokens),
      field("bench-prompts", "Prompts", this.prompts),
      this.button,
    );
  }

  #table() {
    const head = [
      "Requests at once",
      "Tokens/s",
      "Mean response",
      "Longest response",
      "First token 50 %",
      "95 %",
      "Between tokens 50 %",
      "95 %",
      "Failed",
    ];
    this.note = h("p", { class: "hint" });
    this.save = h("button", { type: "button", onclick: () => this.#save() }, "Save as JSON");
    return h(
      "section",
      { class: "panel" },
      h("div", { class: "panel-title" }, h("h2", { id: "bench-table" }, "Levels"), this.save),
      h(
        "div",
        { class: "table-scroll", tabindex: "0", role: "region", "aria-labelledby": "bench-table" },
        h(
          "table",
          { class: "data" },
          h(
            "thead",
            {},
            h("tr", {}, ...head.map((name) => h("th", { scope: "col", class: "number" }, name))),
          ),
          this.rows,
        ),
      ),
      this.note,
    );
  }

  // ---- running

  #readForm() {
    const levels = parseLevels(this.levels.value);
    if (!levels) {
      this.levels.setCustomValidity("Up to twelve whole numbers from 1 to 1024, such as 8, 16, 24, 32");
      return this.levels.reportValidity();
    }
    Object.assign(this.settings, {
      model: this.models.wanted,
      levels,
      requests: Number(this.requests.value),
      max_tokens: Number(this.tokens.value),
      distinct: this.prompts.value === "distinct",
    });
    remember("bench-settings", this.settings);
    return true;
  }

  async start() {
    if (!this.#readForm()) return;
    const settings = { ...this.settings, model: this.models.model.id };
    this.controller = new AbortController();
    this.button.textContent = "Stop";
    this.problem.hidden = true;
    this.result = {
      server: "cLLM",
      version: this.connection.version,
      model: settings.model,
      date: new Date().toISOString(),
      settings,
      levels: [],
    };
    this.#drawResult();
    try {
      for (const level of settings.levels) await this.#level(settings, level);
      this.status.textContent = "The benchmark is complete.";
    } catch (error) {
      this.#failed(error);
    }
    this.controller = null;
    this.button.textContent = "Start";
    this.progress.replaceChildren();
    if (this.result.levels.length) remember("bench-result", this.result);
    this.#drawResult();
  }

  async #level(settings, level) {
    const bars = settings.levels.map((one) =>
      this.#bar(
        one,
        this.result.levels.some(({ concurrency }) => concurrency === one),
      ),
    );
    this.progress.replaceChildren(...bars.map(({ item }) => item));
    const { bar, value } = bars[settings.levels.indexOf(level)];
    this.status.textContent = `${level} requests at once`;
    const done = await runLevel(
      settings,
      level,
      (share) => {
        bar.value = share;
        value.textContent = `${Math.round(share * 100)} %`;
      },
      this.controller.signal,
    );
    this.result.levels.push(done);
    this.#drawResult();
  }

  #bar(level, done) {
    const bar = h("progress", { max: "1", "aria-label": `${level} at once` });
    bar.value = done ? 1 : 0;
    const value = h("span", { class: "level-value" }, done ? "done" : "");
    return { item: h("li", {}, h("span", {}, `${level} at once`), bar, value), bar, value };
  }

  #failed(error) {
    if (error.name === "AbortError") {
      this.status.textContent = "The benchmark was stopped.";
      return;
    }
    this.problem.textContent = error.message;
    this.problem.hidden = false;
    this.connection.check();
  }

  // ---- results

  #drawResult() {
    const levels = this.result?.levels ?? [];
    this.results.hidden = levels.length === 0;
    this.save.hidden = Boolean(this.controller);
    this.idle.hidden = levels.length > 0 || Boolean(this.controller);
    if (!levels.length) return;
    const column = (pick) => levels.map((level) => pick(level) ?? null);
    this.throughput.set([column((l) => l.concurrency), column((l) => l.avg_throughput)]);
    this.latency.set([column((l) => l.concurrency), column((l) => l.ttft.p50), column((l) => l.ttft.p95)]);
    this.rows.replaceChildren(
      ...levels.map((l) => {
        const cells = [
          number(l.avg_throughput),
          seconds(l.avg_response_time),
          seconds(l.max_response_time),
          seconds(l.ttft.p50),
          seconds(l.ttft.p95),
          seconds(l.between_tokens.p50),
          seconds(l.between_tokens.p95),
          String(l.failed_requests),
        ];
        return h(
          "tr",
          {},
          h("th", { scope: "row", class: "number" }, String(l.concurrency)),
          ...cells.map((text) => h("td", { class: "number" }, text)),
        );
      }),
    );
    this.note.textContent = describe(this.result);
  }

  #save() {
    download(
      `bench-${this.result.date.replace(/[:.]/g, "-")}.json`,
      "application/json",
      `${JSON.stringify(this.result, null, 2)}\n`,
    );
  }
}

function describe({ settings, model, date }) {
  const when = new Date(date).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "long" });
  const amount = `${settings.requests} requests of ${settings.max_tokens} tokens a level`;
  const prompts = settings.distinct ? "each with a prompt of its own" : "five prompts that repeat";
  return `${model}, ${when}: ${amount}, ${prompts}. Percentiles are of all requests that ran meanwhile.`;
}
