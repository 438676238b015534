// A conversation as data: its messages, its settings, and what the server is sent of it.

import { partsOf } from "./thinking.js";
import { recall } from "./remembered.js";

export const DEFAULTS = {
  system: "You are a helpful assistant.",
  temperature: 0.7,
  top_p: 0.95,
  top_k: 0,
  min_p: 0,
  repetition_penalty: 1,
  max_tokens: null,
  seed: null,
  thinking: "",
};

const TITLE_LENGTH = 60;

export function newConversation() {
  const now = Date.now();
  return {
    id: crypto.getRandomValues(new Uint32Array(4)).join("-"),
    title: "",
    created: now,
    updated: now,
    model: recall("model", ""), // "": the server's first
    settings: { ...DEFAULTS, ...recall("settings", {}) },
    messages: [],
  };
}

// `model` is which one answered, where there was a choice.
export function newMessage(role, content = "") {
  return { role, content, reasoning: "", error: "", model: "", stats: null };
}

// What the list calls it: the name it was given, or how it begins.
export function titleOf(conversation) {
  const first = conversation.messages.find((message) => message.role === "user")?.content ?? "";
  const line = first.trim().split("\n")[0];
  return (
    conversation.title ||
    (line.length > TITLE_LENGTH ? `${line.slice(0, TITLE_LENGTH)}…` : line) ||
    "New conversation"
  );
}

// Takes over what another window has kept of it. What has not changed stays the same object, so whatever shows it, or is
// changing it, goes on. Settings (and the model) have a time of their own: the later ones hold.
export function adopt(conversation, record) {
  const messages = record.messages.map((message, at) => {
    const mine = conversation.messages[at];
    return JSON.stringify(mine) === JSON.stringify(message) ? mine : message;
  });
  const { settings, settingsAt, model } = later(conversation, record);
  Object.assign(conversation.settings, settings);
  Object.assign(conversation, record, { messages, settings: conversation.settings, settingsAt, model });
}

// Whichever of two records of a conversation has the later settings; the second one, if neither is later.
export function later(one, other) {
  return (one?.settingsAt ?? 0) > (other.settingsAt ?? 0) ? one : other;
}

// The body of a request for the answer that comes after all messages but the last, which is to hold it.
export function requestBody(conversation, model) {
  const { system, thinking, ...sampling } = conversation.settings;
  const messages = conversation.messages.slice(0, -1).map(({ role, content, reasoning }) => ({
    role,
    content: role === "assistant" ? partsOf({ content, reasoning }).answer : content,
  }));
  const fields = Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== null));
  return {
    model,
    messages: system.trim() ? [{ role: "system", content: system }, ...messages] : messages,
    ...fields,
    ...(thinking ? { chat_template_kwargs: { enable_thinking: thinking === "on" } } : {}),
  };
}
