// Which of several models: a list to choose from, with what state each is in. Hidden while there is only one.

import { h } from "./dom.js";

const STATES = {
  unloaded: "loads when asked",
  waiting: "waits for its turn",
  loading: "is loading",
  leaving: "finishes, then unloads",
  unloading: "is unloading",
};

export class ModelSelect {
  // chosen(id) is called when somebody has chosen another model; `quiet`: the label is for screen readers only.
  constructor(connection, { id, quiet = false, chosen = () => {} }) {
    this.connection = connection;
    this.wanted = "";
    this.select = h("select", { id });
    this.element = h(
      "div",
      { class: "model-select", hidden: true },
      h("label", { for: id, class: quiet ? "visually-hidden" : "" }, "Model"),
      this.select,
    );
    this.select.addEventListener("change", () => {
      this.wanted = this.select.value;
      chosen(this.wanted);
    });
    connection.addEventListener("change", () => this.#draw());
  }

  // The one to ask: what was chosen, if it is served.
  get model() {
    return this.connection.served(this.wanted);
  }

  choose(id) {
    this.wanted = id;
    this.#draw();
  }

  #draw() {
    const { models } = this.connection;
    const texts = models.map(({ id, state }) => (STATES[state] ? `${id} (${STATES[state]})` : id));
    const { options } = this.select;
    // An open list closes when its options are replaced.
    if (texts.length !== options.length || texts.some((text, at) => text !== options[at].text))
      this.select.replaceChildren(...models.map(({ id }, at) => h("option", { value: id }, texts[at])));
    this.element.hidden = models.length < 2;
    if (models.length) this.select.value = this.model.id;
  }
}
