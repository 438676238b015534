// Runs before the first paint, so that a dark page does not flash white. Afterwards the choice is changed here too.

const KEY = "cllm.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

let picked = null; // for browsers whose storage is switched off

function chosen() {
  try {
    return localStorage.getItem(KEY) ?? picked;
  } catch {
    return picked;
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
  picked = event.detail;
  try {
    localStorage.setItem(KEY, picked);
  } catch {
    // kept for the session
  }
  apply();
});
apply();
