// Runs before the first paint, so that a dark page does not flash white. Afterwards the choice is changed here too.

const KEY = "cllm.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is switched off
  }
}

function apply() {
  const theme = chosen() ?? (dark.matches ? "dark" : "light");
  if (document.documentElement.dataset.theme === theme) return;
  document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("cllm:theme"));
}

dark.addEventListener("change", apply);
addEventListener("storage", apply);
addEventListener("cllm:choose-theme", (event) => {
  try {
    localStorage.setItem(KEY, event.detail);
  } catch {
    document.documentElement.dataset.theme = event.detail;
    dispatchEvent(new Event("cllm:theme"));
  }
  apply();
});
apply();
