// The view "Chat": the list of conversations, the messages of one, the composer, its settings.

import { ArrowUp, PanelLeft, SlidersHorizontal, Square } from "lucide";
import { Answer } from "./answer.js";
import { ConversationList } from "./conversation_list.js";
import { newConversation, newMessage, titleOf } from "./conversation.js";
import { download, h, icon, iconButton, toast } from "./dom.js";
import { MessageView } from "./message_view.js";
import { recall, remember } from "./remembered.js";
import { settingsPanel } from "./settings_panel.js";
import { forget, loadAll, onChangeElsewhere, openStore, save } from "./store.js";
import { partsOf } from "./thinking.js";

const KEPT_EVERY_MS = 1000; // an answer that is being written: a page that is closed loses no more
const NEAR_END = 80; // pixels from the end of the page within which it follows new text

export class Chat {
  conversations = [];
  current = null;
  answers = new Map(); // the running ones, by their conversations' ids
  views = new Map(); // of the messages shown

  constructor(connection) {
    this.connection = connection;
    this.list = new ConversationList({
      select: (conversation) => this.open(conversation),
      create: () => this.create(),
      rename: (conversation, title) => this.rename(conversation, title),
      remove: (conversation) => this.remove(conversation),
      exportOne: (conversation) => this.exportOne(conversation),
    });
    this.#build();
  }

  async start() {
    const kept = await openStore();
    if (!kept) toast("This browser keeps no data for the page: conversations are gone when it is closed.");
    this.conversations = await loadAll();
    onChangeElsewhere((id, record) => this.#changedElsewhere(id, record));
    const last = recall("conversation", "");
    this.open(this.conversations.find(({ id }) => id === last) ?? this.conversations[0] ?? newConversation());
  }

  // ---- the elements

  #build() {
    this.log = h("div", { class: "log", role: "log", "aria-label": "Messages", "aria-live": "polite" });
    this.status = h("p", { class: "visually-hidden", role: "status" });
    this.input = h("textarea", {
      id: "composer",
      rows: 1,
      "aria-label": "Message",
      placeholder: "Write a message",
    });
    this.button = h("button", { type: "submit", class: "send" });
    this.settingsButton = iconButton(SlidersHorizontal, "Settings", () => this.toggleSettings(), {
      "aria-expanded": "false",
      "aria-controls": "settings",
    });
    this.listButton = iconButton(PanelLeft, "Conversations", () => this.toggleList(), {
      class: "list-button",
      "aria-expanded": "false",
      "aria-controls": "sidebar",
    });
    this.title = h("h1", { class: "chat-title" });
    const form = h(
      "form",
      {
        class: "composer",
        onsubmit: (event) => {
          event.preventDefault();
          if (this.answer) this.stop();
          else this.send();
        },
      },
      this.input,
      this.button,
    );
    this.#listen(form);
    this.scroller = h("div", { class: "scroller" }, this.log);
    this.main = h(
      "section",
      { class: "chat-main", "aria-label": "Conversation" },
      h("div", { class: "chat-head" }, this.listButton, this.title, this.settingsButton),
      this.scroller,
      h(
        "div",
        { class: "composer-frame" },
        form,
        h("p", { class: "hint keys" }, "Enter sends, Shift+Enter starts a line, Esc stops"),
      ),
      this.status,
    );
    this.element = h("div", { class: "chat" }, this.list.element, this.main);
  }

  #listen(form) {
    this.input.addEventListener("input", () => this.#fit());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.answer) form.requestSubmit();
    });
  }

  // The composer is as high as its text, up to what the style allows.
  #fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
    this.button.disabled = !this.answer && !this.input.value.trim();
  }

  get pageTitle() {
    return this.current.messages.length ? `${titleOf(this.current)} – cLLM` : "cLLM";
  }

  get answer() {
    return this.answers.get(this.current?.id);
  }

  // ---- drawing

  shown() {
    this.#fit();
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.input.focus();
  }

  draw() {
    const { messages } = this.current;
    this.views.clear();
    const views = messages.map((message, at) => this.#view(message, at === messages.length - 1));
    this.log.replaceChildren(...(views.length ? views.map((view) => view.element) : [this.#greeting()]));
    this.drawAround();
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  drawAround() {
    const writing = Boolean(this.answer);
    this.title.textContent = titleOf(this.current);
    if (this.element.isConnected) document.title = this.pageTitle;
    this.button.replaceChildren(icon(writing ? Square : ArrowUp));
    this.button.setAttribute("aria-label", writing ? "Stop" : "Send");
    this.button.title = writing ? "Stop (Esc)" : "Send (Enter)";
    this.button.classList.toggle("stop", writing);
    this.#fit();
    this.list.draw(this.conversations, this.current, this.answers);
  }

  #view(message, last) {
    const view = new MessageView(message, {
      edit: (edited, text) => this.edit(edited, text),
      regenerate: (old) => this.regenerate(old),
      isLast: (asked) => this.current.messages.at(-1) === asked,
    });
    this.views.set(message, view);
    view.draw({ writing: this.answer?.message === message, last });
    return view;
  }

  #greeting() {
    return h(
      "div",
      { class: "greeting" },
      h("p", { class: "greeting-title" }, "What shall it be?"),
      h("p", {}, "Everything you write stays in this browser and goes to this server only."),
    );
  }

  #follows() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  // ---- conversations

  create() {
    this.open(newConversation());
  }

  open(conversation) {
    this.current = conversation;
    remember("conversation", conversation.id);
    this.toggleList(false);
    if (this.settings) this.toggleSettings(true);
    this.draw();
    this.input.focus();
  }

  async #keep(conversation) {
    conversation.updated = Date.now();
    this.conversations = [conversation, ...this.conversations.filter((other) => other !== conversation)];
    await save(conversation).catch(() =>
      toast("The browser did not keep the conversation: is its storage full?"),
    );
  }

  async rename(conversation, title) {
    conversation.title = title;
    await save(conversation);
    this.drawAround();
  }

  async remove(conversation) {
    this.answers.get(conversation.id)?.stop();
    const at = this.conversations.indexOf(conversation);
    this.conversations.splice(at, 1);
    await forget(conversation.id);
    if (conversation === this.current)
      this.open(this.conversations[at] ?? this.conversations[at - 1] ?? newConversation());
    else this.drawAround();
    toast(`“${titleOf(conversation)}” was deleted.`, {
      label: "Undo",
      run: async () => {
        this.conversations.splice(at, 0, conversation);
        await save(conversation);
        this.open(conversation);
      },
    });
  }

  exportOne(conversation) {
    const name =
      titleOf(conversation)
        .replace(/[^\p{L}\p{N}]+/gu, "-")
        .replace(/^-|-$/g, "")
        .slice(0, 50) || "conversation";
    download(`${name}.json`, "application/json", `${JSON.stringify(conversation, null, 2)}\n`);
  }

  #changedElsewhere(id, record) {
    if (this.answers.has(id)) return; // what is being written here is newer
    const at = this.conversations.findIndex((conversation) => conversation.id === id);
    if (!record) {
      if (at >= 0) this.conversations.splice(at, 1);
    } else if (at >= 0) {
      Object.assign(this.conversations[at], record);
    } else {
      this.conversations.unshift(record);
    }
    if (this.current.id === id && record) this.draw();
    else this.drawAround();
  }

  // ---- messages

  send() {
    const text = this.input.value.trim();
    if (!text) return;
    this.input.value = "";
    this.current.messages.push(newMessage("user", text));
    this.#reply();
  }

  // A changed question is asked again, and what came after it is gone; a changed answer is only changed.
  edit(message, text) {
    const { messages } = this.current;
    if (!text.trim()) return this.draw();
    message.content = text;
    if (message.role === "user") {
      this.answer?.stop();
      messages.splice(messages.indexOf(message) + 1);
      this.#reply();
      return undefined;
    }
    message.stats = null;
    this.#keep(this.current);
    return this.draw();
  }

  regenerate(message) {
    const { messages } = this.current;
    messages.splice(messages.indexOf(message));
    this.#reply();
  }

  stop() {
    this.answer?.stop();
  }

  escape() {
    if (this.answer) this.stop();
    else if (this.settings) this.settings.querySelector("[aria-label='Close settings']").click();
    else this.toggleList(false);
  }

  async #reply() {
    const conversation = this.current;
    const message = newMessage("assistant");
    const answer = new Answer(conversation, message);
    conversation.messages.push(message);
    this.answers.set(conversation.id, answer);
    this.#keep(conversation);
    this.draw();
    this.input.focus();
    this.status.textContent = "The answer is being written.";
    await answer.run(this.connection.model, () => this.#grown(answer));
    this.#finished(answer);
  }

  #grown(answer) {
    const { conversation, message } = answer;
    if (performance.now() - answer.keptAt > KEPT_EVERY_MS && this.conversations.includes(conversation)) {
      answer.keptAt = performance.now();
      this.#keep(conversation);
    }
    const view = this.views.get(message);
    if (!view) return; // another conversation is shown
    const follows = this.#follows();
    view.grow();
    if (follows)
      requestAnimationFrame(() => {
        this.scroller.scrollTop = this.scroller.scrollHeight;
      });
  }

  #finished(answer) {
    const { conversation, message } = answer;
    const follows = this.#follows();
    if (this.answers.get(conversation.id) === answer) this.answers.delete(conversation.id);
    if (message.error) this.connection.check();
    const kept = conversation.messages.includes(message) && this.conversations.includes(conversation);
    if (kept) this.#keep(conversation);
    this.views.get(message)?.draw({ last: conversation.messages.at(-1) === message });
    this.drawAround();
    this.status.textContent =
      message.error || `The answer is complete: ${partsOf(message).answer.length} characters.`;
    if (follows) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // ---- panels

  toggleSettings(show = !this.settings) {
    this.settings?.remove();
    this.settings = show
      ? settingsPanel(
          this.current.settings,
          () => this.#settingsChanged(),
          () => {
            this.toggleSettings(false);
            this.settingsButton.focus();
          },
        )
      : null;
    if (show) this.element.append(this.settings);
    this.settingsButton.setAttribute("aria-expanded", String(Boolean(show)));
  }

  #settingsChanged() {
    if (this.conversations.includes(this.current)) save(this.current);
  }

  // On narrow screens only; on others it is always there.
  toggleList(show = !this.element.classList.contains("list-open")) {
    this.element.classList.toggle("list-open", show);
    this.listButton.setAttribute("aria-expanded", String(show));
  }
}
