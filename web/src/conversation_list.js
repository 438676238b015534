// The list beside the chat: choosing, renaming, exporting and removing conversations.

import { Download, Pencil, Plus, Trash2 } from "lucide";
import { titleOf } from "./conversation.js";
import { h, icon, iconButton } from "./dom.js";

export class ConversationList {
  // actions: select, create, rename(conversation, title), remove, exportOne
  constructor(actions) {
    this.actions = actions;
    this.items = h("ul", { class: "conversations" });
    this.element = h(
      "nav",
      { class: "sidebar", id: "sidebar", "aria-label": "Conversations" },
      h(
        "button",
        { type: "button", class: "new-conversation", onclick: () => actions.create() },
        icon(Plus),
        h("span", {}, "New conversation"),
      ),
      this.items,
    );
  }

  draw(conversations, current, writing) {
    const held = this.items.contains(document.activeElement) ? document.activeElement.dataset.place : null;
    this.items.replaceChildren(
      ...conversations.map((conversation) => this.#item(conversation, current, writing)),
    );
    if (held) this.items.querySelector(`[data-place="${CSS.escape(held)}"]`)?.focus();
  }

  #item(conversation, current, writing) {
    const { id } = conversation;
    const name = titleOf(conversation);
    const open = h(
      "button",
      {
        type: "button",
        class: "conversation-open",
        title: name,
        "data-place": id,
        "aria-current": id === current?.id ? "true" : null,
        onclick: () => this.actions.select(conversation),
      },
      h("span", { class: "conversation-title" }, name),
      writing.has(id)
        ? h("span", { class: "dot", role: "img", "aria-label": "an answer is being written" })
        : null,
    );
    const item = h("li", { class: "conversation" }, open);
    open.addEventListener("dblclick", () => this.#rename(conversation, item));
    item.append(
      h(
        "div",
        { class: "conversation-actions" },
        iconButton(Pencil, `Rename ${name}`, () => this.#rename(conversation, item)),
        iconButton(Download, `Export ${name}`, () => this.actions.exportOne(conversation)),
        iconButton(Trash2, `Delete ${name}`, () => this.actions.remove(conversation)),
      ),
    );
    return item;
  }

  #rename(conversation, item) {
    const input = h("input", { type: "text", "aria-label": "Name of the conversation", maxlength: "120" });
    input.value = titleOf(conversation);
    let done = false;
    const finish = (keep) => {
      if (done) return;
      done = true;
      this.actions.rename(conversation, keep ? input.value.trim() : conversation.title);
      this.items.querySelector(`[data-place="${CSS.escape(conversation.id)}"]`)?.focus();
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") finish(true);
      if (event.key === "Escape") finish(false);
    });
    input.addEventListener("blur", () => finish(true));
    item.replaceChildren(input);
    input.select();
  }
}
