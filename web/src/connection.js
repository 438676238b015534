// Is the server there, and which models does it serve? Asked every few seconds while the page is visible.

import { getJson, native } from "./api.js";

const PAUSE_MS = 3000;
const PATIENCE_MS = 5000; // a server answers this at any load

const NONE = { id: undefined, state: "ready", context: 0 }; // before the server was heard

export class Connection extends EventTarget {
  state = "connecting"; // then "healthy", "loading", "draining", "locked" (a key is wanted) or "away"
  models = []; // {id, state, context}: state is "ready" where the server tells none, context 0 while it is not known
  version = "";

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
    const before = JSON.stringify([this.state, this.models]);
    this.state = await this.#ask();
    this.asking = false;
    if (JSON.stringify([this.state, this.models]) !== before) this.dispatchEvent(new Event("change"));
    this.timer = setTimeout(() => this.check(), PAUSE_MS);
  }

  async #ask() {
    try {
      await native("health", { signal: AbortSignal.timeout(PATIENCE_MS) });
      await this.#askModels();
      return "healthy";
    } catch (error) {
      if (error.status === 401 || error.status === 403) return "locked";
      if (error.status === 503) return error.message === "draining" ? "draining" : "loading";
      return "away";
    }
  }

  async #askModels() {
    const { data } = await getJson("v1/models", { signal: AbortSignal.timeout(PATIENCE_MS) });
    this.models = data.map(({ id, state = "ready", max_model_len = 0 }) => ({
      id,
      state,
      context: max_model_len,
    }));
    if (this.state !== "healthy") this.version = (await native("./")).version;
  }

  // The model of this name or, where it is not served, the first one, which also answers whoever names none.
  served(id) {
    return this.models.find((model) => model.id === id) ?? this.models[0] ?? NONE;
  }
}
