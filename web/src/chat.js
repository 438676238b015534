// The view "Chat": the list of conversations, the messages of one, the composer, its settings.

import { ArrowUp, PanelLeft, SlidersHorizontal, Square } from "lucide";
import { Answer } from "./answer.js";
import { ConversationList } from "./conversation_list.js";
import { importFile } from "./conversation_file.js";
import { adopt, newConversation, newMessage, titleOf } from "./conversation.js";
import { h, icon, iconButton, isolated, toast } from "./dom.js";
import { MessageView } from "./message_view.js";
import { ModelSelect } from "./model_select.js";
import { counted } from "./format.js";
import { recall, remember } from "./remembered.js";
import { settingsPanel } from "./settings_panel.js";
import { forget, loadAll, onChangeElsewhere, openStore, save } from "./store.js";

const KEPT_EVERY_MS = 1000; // an answer that is being written: a page that is closed loses no more
const HELD_MS = 3 * KEPT_EVERY_MS; // a window that has not kept its answer for so long has gone
const NEAR_END = 80; // pixels from the end of the page within which it follows new text
const touch = matchMedia("(hover: none) and (pointer: coarse)"); // its keyboard covers half the screen and has no Shift+Enter
const narrow = matchMedia("(max-width: 44rem)"); // the list and the settings cover the messages

export class Chat {
  conversations = [];
  current = null;
  answers = new Map(); // the running ones, by their conversations' ids
  views = new Map(); // of the messages shown
  heldElsewhere = new Map(); // when another window last wrote into a conversation, by its id

  constructor(connection) {
    this.connection = connection;
    this.list = new ConversationList({
      select: (conversation) => this.open(conversation),
      create: () => this.create(),
      rename: (conversation, title) => this.rename(conversation, title),
      remove: (conversation) => this.remove(conversation),
      importFile: (file) => this.importFile(file),
    });
    this.models = new ModelSelect(connection, {
      id: "chat-model",
      quiet: true,
      chosen: (id) => this.#modelChosen(id),
    });
    connection.addEventListener("change", () => this.views.get(this.answer?.message)?.grow());
    this.#build();
  }

  async start() {
    const kept = await openStore();
    if (!kept) toast("This browser keeps no data for the page: conversations are gone when it is closed.");
    this.conversations = await loadAll();
    onChangeElsewhere((...change) => this.#changedElsewhere(...change));
    const last = recall("conversation", "");
    this.open(this.conversations.find(({ id }) => id === last) ?? this.conversations[0] ?? newConversation());
  }

  // ---- the elements

  #build() {
    // What is being written is not read out piece by piece: the status says it once it is complete.
    this.log = h("div", { class: "log", role: "log", "aria-label": "Messages", "aria-live": "off" });
    this.status = h("p", { class: "visually-hidden", role: "status" });
    this.input = h("textarea", {
      id: "composer",
      rows: 1,
      "aria-label": "Message",
      placeholder: "Write a message",
      enterkeyhint: touch.matches ? "enter" : "send",
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
    this.title = h("h1", { class: "chat-title", tabIndex: -1 });
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
      h("div", { class: "chat-head" }, this.listButton, this.title, this.models.element, this.settingsButton),
      this.scroller,
      h(
        "div",
        { class: "composer-frame" },
        form,
        h("p", { class: "hint keys" }, "Enter sends, Shift+Enter starts a line, Esc stops"),
      ),
      this.status,
    );
    this.element = h(
      "div",
      {
        class: "chat",
        // What is covered is inert, so this is where a click beside the list ends up.
        onclick: ({ target }) => target === this.element && this.toggleList(false),
      },
      this.list.element,
      this.main,
    );
    narrow.addEventListener("change", () => this.#cover());
  }

  #listen(form) {
    this.input.addEventListener("input", () => this.#fit());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch.matches) return;
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
    this.#toEnd();
    this.#focusInput();
  }

  // Messages that are already shown are left as they are.
  draw() {
    const { messages } = this.current;
    this.views = new Map(
      messages.map((message) => [message, this.views.get(message) ?? this.#view(message)]),
    );
    for (const [message, view] of this.views)
      view.show({ writing: this.answer?.message === message, last: message === messages.at(-1) });
    this.#place(
      messages.length ? [...this.views.values()].map(({ element }) => element) : [this.#greeting()],
    );
    this.drawAround();
  }

  #place(elements) {
    const kept = new Set(elements);
    for (const old of [...this.log.children]) if (!kept.has(old)) old.remove();
    elements.forEach((element, at) => {
      const there = this.log.children[at] ?? null;
      if (there !== element) this.log.insertBefore(element, there);
    });
  }

  #toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // Where one goes on; not into the field where that brings up a keyboard.
  #focusInput() {
    (touch.matches ? this.title : this.input).focus();
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

  #view(message) {
    return new MessageView(message, {
      edit: (edited, text) => this.edit(edited, text),
      regenerate: (old) => this.regenerate(old),
      loading: () => this.models.model.state !== "ready",
    });
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
    this.models.choose(conversation.model);
    this.toggleList(false);
    this.#drawSettings(Boolean(this.settings));
    this.draw();
    this.#toEnd();
    this.#focusInput();
  }

  #keep(conversation) {
    conversation.updated = Date.now();
    this.conversations = [conversation, ...this.conversations.filter((other) => other !== conversation)];
    return this.#save(conversation);
  }

  // A browser that does not keep it says so once, not every second.
  async #save(conversation) {
    try {
      await save(conversation, this.answers.has(conversation.id));
      this.unkept = false;
    } catch {
      if (!this.unkept)
        toast(
          "The browser does not keep the conversations: its storage is full. Export them, or delete some.",
        );
      this.unkept = true;
    }
  }

  rename(conversation, title) {
    conversation.title = title;
    this.drawAround();
    return this.#save(conversation);
  }

  async remove(conversation) {
    this.answers.get(conversation.id)?.stop();
    const at = this.conversations.indexOf(conversation);
    this.conversations.splice(at, 1);
    const next = this.conversations[at] ?? this.conversations[at - 1];
    await forget(conversation.id);
    if (conversation === this.current) this.open(next ?? newConversation());
    else this.drawAround();
    if (next) this.list.focus(next);
    toast(`“${isolated(titleOf(conversation))}” was deleted.`, {
      label: "Undo",
      run: async () => {
        this.conversations.splice(at, 0, conversation);
        await this.#save(conversation);
        this.open(conversation);
      },
    });
  }

  async importFile(file) {
    try {
      const all = await importFile(file);
      for (const conversation of all) await this.#save(conversation);
      this.conversations = [...all, ...this.conversations];
      this.open(all[0]);
      toast(`${counted(all.length, "conversation")} imported.`);
    } catch (error) {
      toast(error.message);
    }
  }

  #changedElsewhere(id, record, writing) {
    const conversation = this.conversations.find((one) => one.id === id);
    const answer = this.answers.get(id);
    if (writing) this.heldElsewhere.set(id, performance.now());
    else this.heldElsewhere.delete(id);
    if (!record) {
      answer?.stop();
      this.conversations = this.conversations.filter((one) => one !== conversation);
    } else if (!conversation) {
      this.conversations.unshift(record);
    } else {
      // The messages that are being written here are newer.
      adopt(conversation, answer ? { ...record, messages: conversation.messages } : record);
    }
    if (this.current !== conversation || !record) return this.drawAround();
    const follows = this.#follows();
    this.models.choose(conversation.model);
    if (!this.settings?.contains(document.activeElement)) this.#drawSettings(Boolean(this.settings));
    this.draw();
    if (follows) this.#toEnd();
    return undefined;
  }

  #modelChosen(id) {
    this.current.model = id;
    remember("model", id);
    this.#settingsChanged();
  }

  // ---- messages

  send() {
    const text = this.input.value.trim();
    if (!text || this.#isHeld()) return;
    this.input.value = "";
    this.current.messages.push(newMessage("user", text));
    this.#reply();
  }

  // Two windows that write into one conversation would lose each other's messages.
  #isHeld() {
    const held = performance.now() - (this.heldElsewhere.get(this.current.id) ?? -Infinity) < HELD_MS;
    if (held) toast("Another window is writing an answer into this conversation.");
    return held;
  }

  // A changed question is asked again, and what came after it is gone; a changed answer is only changed.
  edit(message, text) {
    const { messages } = this.current;
    if (this.#isHeld()) return;
    this.views.delete(message); // it is drawn anew
    if (text.trim()) message.content = text;
    if (text.trim() && message.role === "user") {
      this.answer?.stop();
      messages.splice(messages.indexOf(message) + 1);
      this.#reply();
      return;
    }
    if (text.trim()) {
      message.stats = null;
      this.#keep(this.current);
    }
    this.draw();
  }

  regenerate(message) {
    const { messages } = this.current;
    if (this.#isHeld()) return;
    messages.splice(messages.indexOf(message));
    this.#reply();
  }

  stop() {
    this.answer?.stop();
  }

  escape() {
    if (this.element.classList.contains("list-open")) this.toggleList(false);
    else if (this.answer) this.stop();
    else if (this.settings) this.toggleSettings(false);
  }

  async #reply() {
    const conversation = this.current;
    const message = newMessage("assistant");
    const model = this.connection.served(conversation.model).id;
    if (this.connection.models.length > 1) message.model = model;
    const answer = new Answer(conversation, message);
    conversation.messages.push(message);
    this.answers.set(conversation.id, answer);
    this.#keep(conversation);
    const keeping = setInterval(
      () => this.conversations.includes(conversation) && this.#keep(conversation),
      KEPT_EVERY_MS,
    );
    this.draw();
    this.#toEnd();
    this.#focusInput();
    this.status.textContent = "The answer is being written.";
    await answer.run(model, () => this.#grown(answer));
    clearInterval(keeping);
    this.#finished(answer);
  }

  #grown({ message }) {
    const view = this.views.get(message);
    if (!view) return; // another conversation is shown
    const follows = this.#follows();
    view.grow();
    if (follows) requestAnimationFrame(() => this.#toEnd());
  }

  #finished(answer) {
    const { conversation, message } = answer;
    const follows = this.#follows();
    if (this.answers.get(conversation.id) === answer) this.answers.delete(conversation.id);
    if (message.error) this.connection.check();
    if (!conversation.messages.includes(message)) return; // it was asked differently meanwhile
    if (this.conversations.includes(conversation)) this.#keep(conversation);
    const view = this.views.get(message);
    view?.show({ last: conversation.messages.at(-1) === message });
    this.drawAround();
    this.status.textContent =
      message.error || view?.spoken || `The answer in “${isolated(titleOf(conversation))}” is complete.`;
    if (follows) this.#toEnd();
  }

  // ---- panels

  toggleSettings(show = !this.settings) {
    const inside = this.settings?.contains(document.activeElement);
    this.#drawSettings(show);
    if (show) this.settings.querySelector("button").focus();
    else if (inside) this.settingsButton.focus();
  }

  #drawSettings(show) {
    this.settings?.remove();
    this.settings = show
      ? settingsPanel(
          this.current.settings,
          () => this.#settingsChanged(),
          () => this.toggleSettings(false),
        )
      : null;
    if (show) this.element.append(this.settings);
    this.settingsButton.setAttribute("aria-expanded", String(show));
    this.#cover();
  }

  #settingsChanged() {
    this.current.settingsAt = Date.now();
    if (this.conversations.includes(this.current)) this.#save(this.current);
  }

  // On narrow screens only; on others it is always there.
  toggleList(show = !this.element.classList.contains("list-open")) {
    const inside = this.list.element.contains(document.activeElement);
    this.element.classList.toggle("list-open", show);
    this.listButton.setAttribute("aria-expanded", String(show));
    this.#cover();
    if (show) this.list.element.querySelector("button").focus();
    else if (inside) this.listButton.focus();
  }

  #cover() {
    this.main.inert =
      narrow.matches && Boolean(this.settings || this.element.classList.contains("list-open"));
  }
}
