// Numbers for people.

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(value) {
  return value >= 100000 ? compact.format(value) : plain.format(value);
}

export function counted(value, thing) {
  return `${count(value)} ${thing}${value === 1 ? "" : "s"}`;
}

// Three digits that matter.
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value >= 100 || Number.isInteger(value)) return count(value);
  return value.toFixed(value >= 10 ? 1 : 2);
}

export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0 s";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(value % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function percent(share) {
  return share !== null && Number.isFinite(share)
    ? `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`
    : "–";
}
