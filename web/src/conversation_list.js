// The list beside the chat: finding, choosing, renaming, exporting, importing and removing conversations.

import { Download, Pencil, Plus, Trash2 } from "lucide";
import { exportAll, exportOne } from "./conversation_file.js";
import { titleOf } from "./conversation.js";
import { h, icon, iconButton } from "./dom.js";

const SEARCHED_FROM = 6; // conversations; fewer are seen at a glance

function matches(conversation, words) {
  const texts = [titleOf(conversation), ...conversation.messages.map(({ content }) => content)];
  return texts.some((text) => text.toLowerCase().includes(words));
}

export class ConversationList {
  #conversations = [];
  #current = null;
  #writing = new Map();
  #renaming = false;

  // actions: select, create, rename(conversation, title), remove, importFile(file)
  constructor(actions) {
    this.actions = actions;
    this.items = h("ul", { class: "conversations" });
    this.none = h("p", { class: "hint", hidden: true }, "None has these words.");
    this.search = h("input", {
      type: "search",
      class: "conversation-search",
      "aria-label": "Search conversations",
      placeholder: "Search",
      oninput: () => this.#drawItems(),
    });
    this.element = h(
      "nav",
      { class: "sidebar", id: "sidebar", "aria-label": "Conversations" },
      h(
        "button",
        { type: "button", class: "new-conversation", onclick: () => actions.create() },
        icon(Plus),
        h("span", {}, "New conversation"),
      ),
      this.search,
      this.items,
      this.none,
      this.#files(),
    );
  }

  #files() {
    const chooser = h("input", {
      type: "file",
      accept: ".json,application/json",
      hidden: true,
      "aria-label": "File of conversations",
      onchange: () => {
        for (const file of chooser.files) this.actions.importFile(file);
        chooser.value = "";
      },
    });
    this.exporting = h(
      "button",
      { type: "button", onclick: () => exportAll(this.#conversations) },
      "Export all",
    );
    return h(
      "div",
      { class: "conversation-files" },
      h("button", { type: "button", onclick: () => chooser.click() }, "Import"),
      this.exporting,
      chooser,
    );
  }

  draw(conversations, current, writing) {
    this.#conversations = conversations;
    this.#current = current;
    this.#writing = writing;
    this.search.hidden = conversations.length < SEARCHED_FROM;
    this.exporting.hidden = conversations.length === 0;
    this.#drawItems();
  }

  focus(conversation) {
    this.items.querySelector(`[data-place="${CSS.escape(conversation?.id ?? "")}"]`)?.focus();
  }

  #drawItems() {
    if (this.#renaming) return; // the field would go; all is drawn when it is done
    const words = this.search.hidden ? "" : this.search.value.trim().toLowerCase();
    const found = this.#conversations.filter((conversation) => !words || matches(conversation, words));
    const held = this.items.contains(document.activeElement) ? document.activeElement.dataset.place : null;
    this.items.replaceChildren(...found.map((conversation) => this.#item(conversation)));
    this.items.hidden = found.length === 0;
    this.none.hidden = !words || found.length > 0;
    if (held) this.focus({ id: held });
  }

  #item(conversation) {
    const { id } = conversation;
    const name = titleOf(conversation);
    const open = h(
      "button",
      {
        type: "button",
        class: "conversation-open",
        title: name,
        "data-place": id,
        "aria-current": id === this.#current?.id ? "true" : null,
        onclick: () => this.actions.select(conversation),
      },
      h("span", { class: "conversation-title" }, name),
      this.#writing.has(id)
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
        iconButton(Download, `Export ${name}`, () => exportOne(conversation)),
        iconButton(Trash2, `Delete ${name}`, () => this.actions.remove(conversation)),
      ),
    );
    return item;
  }

  #rename(conversation, item) {
    const input = h("input", { type: "text", "aria-label": "Name of the conversation", maxlength: "120" });
    input.value = titleOf(conversation);
    const finish = (keep) => {
      if (!this.#renaming) return;
      this.#renaming = false;
      this.actions.rename(conversation, keep ? input.value.trim() : conversation.title);
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
      finish(event.key === "Enter");
      this.focus(conversation);
    });
    input.addEventListener("blur", () => finish(true));
    this.#renaming = true;
    item.replaceChildren(input);
    input.select();
  }
}
