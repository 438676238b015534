// What the engine has told second by second, and the rates, shares and quantiles that follow from it.

import { difference, quantile, total } from "./histogram.js";

export const KEPT_S = 300;
export const RATE_S = 5;
const WINDOW_S = 60; // quantiles and shares are of the last minute

export class EngineSamples {
  #samples = []; // {stats, histograms, at: the server's uptime in seconds}

  add(stats, histograms) {
    const last = this.latest;
    // Another process, or the model was loaded anew.
    if (last && (stats.uptime < last.at || stats.steps < last.stats.steps)) this.#samples = [];
    if (last) last.stats.sequences = []; // only the latest are shown
    this.#samples.push({ stats, histograms, at: stats.uptime });
    while (this.#samples[0].at < stats.uptime - KEPT_S - WINDOW_S) this.#samples.shift();
  }

  get latest() {
    return this.#samples.at(-1);
  }

  // A reading, and the one that lies `window` seconds before it, or the first there is.
  #pair(place, window) {
    const now = this.#samples.at(place);
    return { now, then: this.#samples.find(({ at }) => at >= now.at - window) };
  }

  // Per second.
  rate(name, place = -1) {
    const { now, then } = this.#pair(place, RATE_S);
    return now.at === then.at ? null : (now.stats[name] - then.stats[name]) / (now.at - then.at);
  }

  share(part, whole, { place = -1, window = WINDOW_S } = {}) {
    const { now, then } = this.#pair(place, window);
    const n = now.stats[whole] - then.stats[whole];
    return n > 0 ? (now.stats[part] - then.stats[part]) / n : null;
  }

  // Of the last minute, or (all) since the server started.
  histogram(name, { all = false, place = -1 } = {}) {
    const { now, then } = this.#pair(place, WINDOW_S);
    return difference(now.histograms[name], all ? null : then.histograms[name]);
  }

  quantile(name, share, place) {
    const histogram = this.histogram(name, { place });
    return total(histogram) ? quantile(histogram, share) : null;
  }

  // Columns for charts: seconds before now, then one for each function of {stats, place}.
  columns(...functions) {
    const shown = this.#samples
      .map(({ stats, at }, place) => ({ stats, place, x: at - this.latest.at }))
      .filter(({ x }) => x >= -KEPT_S);
    return [shown.map(({ x }) => x), ...functions.map((f) => shown.map(f))];
  }
}
