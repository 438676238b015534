// A message on the screen: what was thought, what was said, the figures, and what can be done with it.

import { Check, Copy, Pencil, RefreshCw } from "lucide";
import { copyButton, h, iconButton } from "./dom.js";
import { counted, number, seconds } from "./format.js";
import { renderMarkdown } from "./markdown.js";
import { partsOf } from "./thinking.js";

const FINISH = { length: "cut off: the limit of tokens", stopped: "stopped" };

function figures({ stats, model }) {
  if (!stats) return null;
  const parts = [];
  if (model) parts.push(model);
  if (stats.tokens) parts.push(counted(stats.tokens, "token"));
  if (stats.rate) parts.push(`${number(stats.rate)} tokens/s`);
  if (stats.ttft !== undefined) parts.push(`first after ${seconds(stats.ttft / 1000)}`);
  if (FINISH[stats.finish]) parts.push(FINISH[stats.finish]);
  return parts.length ? h("p", { class: "figures" }, parts.join(" · ")) : null;
}

export class MessageView {
  #drawn = 0;
  #pending = 0;
  #shown = {};

  // actions: edit(message, text), regenerate(message), which is offered for the last answer, and loading(): whether the
  // model that is asked has yet to be loaded.
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.said = h("div", { class: "said" });
    this.foot = h("div", { class: "message-foot" });
    this.thinking = null;
    this.element = h(
      "article",
      { class: `message ${message.role}` },
      h("h2", { class: "visually-hidden" }, message.role === "user" ? "You" : "Assistant"),
      this.said,
      this.foot,
    );
  }

  // As what it is shown: being written, as the last. Draws it unless that is how it stands there, finished.
  show({ writing = false, last = false }) {
    const same = this.#shown.writing === writing && this.#shown.last === last;
    this.#shown = { writing, last };
    if (!same || writing) this.#draw();
  }

  // While text arrives a message is drawn at most once a frame, a long one less often: each time all of it.
  grow() {
    if (this.#pending) return;
    const pause = this.message.content.length > 6000 ? 200 : 0;
    const wait = Math.max(0, this.#drawn + pause - performance.now());
    this.#pending = setTimeout(() => {
      requestAnimationFrame(() => this.#shown.writing && this.#draw()); // it may have ended since
    }, wait);
  }

  // The answer as a screen reader is to say it once it is complete.
  get spoken() {
    const answer = [...this.said.children].filter((part) => part !== this.thinking);
    return answer.map((part) => part.textContent).join("\n");
  }

  #draw() {
    const { writing, last } = this.#shown;
    clearTimeout(this.#pending);
    this.#pending = 0;
    this.element.setAttribute("aria-busy", String(writing));
    this.element.classList.toggle("writing", writing);
    if (this.message.role === "user")
      this.said.replaceChildren(h("p", { class: "plain" }, this.message.content));
    else this.#drawAnswer(writing);
    this.foot.replaceChildren(...(writing ? [] : this.#footParts(last)));
    this.#drawn = performance.now();
  }

  #drawAnswer(writing) {
    const { thinking, answer, open } = partsOf(this.message);
    this.#drawThinking(thinking, writing && (open || !answer));
    const error = this.message.error ? h("p", { class: "error" }, this.message.error) : null;
    const reason = this.actions.loading() ? "The model is being loaded" : "Waiting for the first token";
    const waiting = writing && !answer && !thinking ? h("p", { class: "waiting" }, reason) : null;
    const nothing = !writing && !answer && !error ? h("p", { class: "waiting" }, "No text") : null;
    const nodes = [this.thinking, answer ? renderMarkdown(answer) : null, waiting, nothing, error];
    this.said.replaceChildren(...nodes.filter(Boolean));
  }

  // The same element stays, so that it remains as open as its reader left it.
  #drawThinking(text, busy) {
    if (!text) return;
    this.thinking ??= h("details", { class: "thinking" }, h("summary", {}), h("div", { class: "thought" }));
    const [summary, body] = this.thinking.children;
    summary.textContent = busy ? "Thinking…" : "Thoughts";
    body.replaceChildren(renderMarkdown(text));
  }

  #footParts(last) {
    const { message } = this;
    const copy = copyButton(
      () => (message.role === "user" ? message.content : partsOf(message).answer),
      "Copy message",
      Copy,
      Check,
    );
    const edit = iconButton(Pencil, "Edit message", () => this.edit());
    const again =
      message.role === "assistant" && last
        ? iconButton(RefreshCw, message.error ? "Try again" : "Regenerate", () =>
            this.actions.regenerate(message),
          )
        : null;
    return [figures(message), h("div", { class: "message-actions" }, copy, edit, again)].filter(Boolean);
  }

  edit() {
    const { message } = this;
    const user = message.role === "user";
    const area = h("textarea", {
      "aria-label": "Edit message",
      rows: Math.min(12, message.content.split("\n").length + 1),
    });
    area.value = message.content;
    const cancel = () => {
      this.#draw();
      this.foot.querySelector("[aria-label='Edit message']").focus();
    };
    const form = h(
      "form",
      {
        class: "edit",
        onsubmit: (event) => {
          event.preventDefault();
          this.actions.edit(message, area.value);
        },
      },
      area,
      h(
        "div",
        { class: "edit-actions" },
        h("button", { type: "button", onclick: cancel }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, user ? "Send" : "Save"),
      ),
    );
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        cancel();
      } else if (user && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    this.said.replaceChildren(form);
    this.foot.replaceChildren();
    area.focus();
  }
}
