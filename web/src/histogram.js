// Histograms of Prometheus' text format, their differences, and quantiles of these.

const LINE = /^(\w+)_(bucket|sum|count)(?:\{(.*)\})? (\S+)$/;
const NONE = { bounds: [], counts: [], sum: 0 };

function label(labels, name) {
  return labels.match(new RegExp(`(?:^|,)${name}="((?:[^"\\\\]|\\\\.)*)"`))?.[1].replace(/\\(.)/g, "$1");
}

// By name: {bounds, counts (up to each bound; the last: all), sum}; of those that tell models apart only this model's.
export function parseHistograms(text, model) {
  const found = {};
  for (const line of text.split("\n")) {
    const match = line.match(LINE);
    if (!match) continue;
    const [, name, kind, labels = "", value] = match;
    if ((label(labels, "model") ?? model) !== model) continue;
    const bound = label(labels, "le");
    const histogram = (found[name] ??= { bounds: [], counts: [], sum: 0 });
    if (kind === "sum") histogram.sum = Number(value);
    if (kind !== "bucket") continue;
    histogram.bounds.push(bound === "+Inf" ? Infinity : Number(bound));
    histogram.counts.push(Number(value));
  }
  return found;
}

// What came between two readings, each of which may be missing.
export function difference(after = NONE, before = null) {
  if (!before) return after;
  return {
    bounds: after.bounds,
    counts: after.counts.map((n, i) => n - before.counts[i]),
    sum: after.sum - before.sum,
  };
}

export function total(histogram) {
  return histogram.counts.at(-1) ?? 0;
}

// As Prometheus does it: even spread within a bucket; above the last bound the last bound. NaN of nothing.
export function quantile(histogram, share) {
  const { bounds, counts } = histogram;
  const rank = share * total(histogram);
  if (!total(histogram)) return NaN;
  const at = counts.findIndex((n) => n >= rank);
  if (bounds[at] === Infinity) return bounds[at - 1];
  const low = at ? bounds[at - 1] : 0;
  const below = at ? counts[at - 1] : 0;
  return low + (bounds[at] - low) * ((rank - below) / (counts[at] - below || 1));
}
