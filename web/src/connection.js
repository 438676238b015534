// Is the server there, and what does it serve? Asked every few seconds while the page is visible.

import { getJson, native } from "./api.js";

const PAUSE_MS = 3000;
const PATIENCE_MS = 5000; // a server answers this at any load

export class Connection extends EventTarget {
  state = "connecting"; // then "healthy", "loading", "draining", "locked" (a key is wanted) or "away"
  model = "";
  version = "";
  context = 0;

  start() {
    document.addEventListener("visibilitychange", () => this.check());
    addEventListener("online", () => this.check());
    this.check();
  }

  // Now, and from then on.
  async check() {
    clearTimeout(this.timer);
    if (document.hidden || this.asking) return;
    this.asking = true;
    this.#become(await this.#ask());
    this.asking = false;
    this.timer = setTimeout(() => this.check(), PAUSE_MS);
  }

  async #ask() {
    try {
      await native("health", { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (this.state !== "healthy") await this.#askModel();
      return "healthy";
    } catch (error) {
      if (error.status === 401 || error.status === 403) return "locked";
      if (error.status === 503) return error.message === "draining" ? "draining" : "loading";
      return "away";
    }
  }

  async #askModel() {
    const [model] = (await getJson("v1/models")).data;
    this.model = model.id;
    this.context = model.max_model_len;
    this.version = (await native("./")).version;
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}
