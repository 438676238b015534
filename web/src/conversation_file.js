// Conversations as files: one is a JSON object, several are an array of such objects. What is read was written by anybody.

import { DEFAULTS, newConversation, newMessage, titleOf } from "./conversation.js";
import { download } from "./dom.js";

function write(name, value) {
  download(`${name}.json`, "application/json", `${JSON.stringify(value, null, 2)}\n`);
}

export function exportOne(conversation) {
  const name = titleOf(conversation)
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 50);
  write(name || "conversation", conversation);
}

export function exportAll(conversations) {
  write("conversations", conversations);
}

// Rejects with a sentence for people. The conversations get ids of their own, so they replace nothing.
export async function importFile(file) {
  let value;
  try {
    value = JSON.parse(await file.text());
  } catch {
    throw new Error(`“${file.name}” is not JSON.`);
  }
  const all = (Array.isArray(value) ? value : [value]).map(read);
  if (!all.length || all.includes(null))
    throw new Error(`“${file.name}” holds something else than conversations.`);
  return all;
}

function text(value) {
  return typeof value === "string" ? value : "";
}

// Null unless it has messages as OpenAI's API has them, of text. A system message becomes the system prompt.
function read(value) {
  if (!Array.isArray(value?.messages)) return null;
  const conversation = { ...newConversation(), title: text(value.title), model: text(value.model) };
  for (const name of ["created", "updated"])
    if (Number.isFinite(value[name])) conversation[name] = value[name];
  conversation.settings = readSettings(value.settings);
  for (const { role, content, ...more } of value.messages.map((message) => message ?? {})) {
    if (typeof content !== "string") return null;
    if (role === "system") conversation.settings.system = content;
    else if (role === "user" || role === "assistant")
      conversation.messages.push({ ...newMessage(role, content), ...readRest(more) });
    else return null;
  }
  return conversation;
}

function readSettings(settings) {
  const kinds = { system: "string", thinking: "string" };
  const fits = (name) => typeof settings?.[name] === (kinds[name] ?? "number");
  const found = Object.keys(DEFAULTS).filter(fits);
  return { ...DEFAULTS, ...Object.fromEntries(found.map((name) => [name, settings[name]])) };
}

function readRest({ reasoning, error, model, stats }) {
  const figures = Object.entries(stats ?? {}).filter(([name, value]) =>
    name === "finish" ? typeof value === "string" : Number.isFinite(value),
  );
  return {
    reasoning: text(reasoning),
    error: text(error),
    model: text(model),
    stats: figures.length ? Object.fromEntries(figures) : null,
  };
}
