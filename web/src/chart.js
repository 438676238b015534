// Line charts in the page's colours, with a legend that shows the values at the pointer, or else the latest.

import uPlot from "uplot";
import { h } from "./dom.js";

const FONT = '11px "Geist Mono", ui-monospace, monospace';

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export class Chart {
  // series: [{label, colour: "--series-1", fill}]; format: of the values; x: {range, splits, format, points}.
  constructor(title, series, { format, x, top = 0 }) {
    Object.assign(this, { series, format, x, top, data: [[], ...series.map(() => [])] });
    this.values = series.map(() => h("span", { class: "legend-value" }, "–"));
    this.plot = h("div", { class: "plot", role: "img", "aria-label": title });
    this.element = h(
      "figure",
      { class: "chart" },
      h("figcaption", {}, h("h2", {}, title), this.#legend()),
      this.plot,
    );
    this.title = title;
    new ResizeObserver(() => this.#resize()).observe(this.plot);
    addEventListener("cllm:theme", () => this.#rebuild());
  }

  #legend() {
    return h(
      "p",
      { class: "legend" },
      ...this.series.map((one, i) => {
        const dash = h("span", { class: "legend-dash" });
        dash.style.background = `var(${one.colour})`;
        return h("span", { class: "legend-entry" }, dash, `${one.label} `, this.values[i]);
      }),
    );
  }

  set(data) {
    this.data = data;
    this.uplot?.setData(data);
    this.#showValues(null);
  }

  #size() {
    return { width: this.plot.clientWidth, height: this.plot.clientHeight };
  }

  #resize() {
    const size = this.#size();
    if (!size.width) return;
    if (this.uplot) this.uplot.setSize(size);
    else this.#rebuild();
  }

  #rebuild() {
    const size = this.#size();
    if (!size.width) return;
    this.uplot?.destroy();
    this.uplot = new uPlot({ ...size, ...this.#options() }, this.data, this.plot);
    this.uplot.root.setAttribute("aria-hidden", "true");
  }

  #options() {
    const axis = {
      stroke: colour("--ink-soft"),
      font: FONT,
      ticks: { show: false },
      grid: { stroke: colour("--line"), width: 1 },
    };
    return {
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      padding: [8, 10, 0, 0],
      scales: {
        x: { time: false, range: this.x.range },
        y: { range: (_, low, high) => [0, Math.max(high * 1.12, this.top) || 1] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 28,
          gap: 8,
          splits: this.x.splits,
          values: (_, at) => at.map(this.x.format),
        },
        { ...axis, size: 52, gap: 8, space: 36, values: (_, at) => at.map(this.format) },
      ],
      series: [{}, ...this.series.map((one) => this.#line(one))],
      hooks: { setCursor: [(plot) => this.#showValues(plot.cursor.idx)] },
    };
  }

  #line(one) {
    const stroke = colour(one.colour);
    return {
      stroke,
      width: 1.75,
      fill: one.fill ? `${stroke}1c` : undefined,
      spanGaps: false,
      points: this.x.points ? { show: true, size: 8, fill: stroke, stroke } : { show: false },
    };
  }

  #showValues(at) {
    const shown = this.data.slice(1).map((values) => {
      const value = at === null || at === undefined ? values.findLast((v) => v !== null) : values[at];
      return value === null || value === undefined ? "–" : this.format(value);
    });
    shown.forEach((text, i) => {
      this.values[i].textContent = text;
    });
    if (at === null || at === undefined)
      this.plot.setAttribute(
        "aria-label",
        `${this.title}: ${this.series.map((s, i) => `${s.label} ${shown[i]}`).join(", ")}`,
      );
  }
}
