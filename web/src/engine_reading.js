// What one model's engine tells of itself: its figures, and the histograms that the server keeps for Prometheus.

import { getText, native } from "./api.js";
import { parseHistograms } from "./histogram.js";

// Without a name: of the server's first model.
export function readStats(model, options) {
  return native(model === undefined ? "stats" : `stats?model=${encodeURIComponent(model)}`, options);
}

export async function readEngine(model, options) {
  const [stats, metrics] = await Promise.all([readStats(model, options), getText("metrics", options)]);
  return { stats, histograms: parseHistograms(metrics, stats.model) };
}
