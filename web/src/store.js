// The conversations, in the browser's IndexedDB: one record each, so that two windows overwrite only what both change.

import { openDB } from "idb";

import { later } from "./conversation.js";

const NAME = "conversations";
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("cllm") : null;
let database = null;

// False: the browser keeps nothing (private windows, switched off), and conversations last as long as the page.
export async function openStore() {
  try {
    database = await openDB("cllm", 1, { upgrade: (db) => db.createObjectStore(NAME, { keyPath: "id" }) });
    return true;
  } catch {
    return false;
  }
}

export async function loadAll() {
  const all = database ? await database.getAll(NAME) : [];
  return all.sort((a, b) => b.updated - a.updated);
}

// `writing`: an answer is being written into it, so other windows leave it alone.
export async function save(conversation, writing = false) {
  if (!database) return;
  const kept = database.transaction(NAME, "readwrite");
  const record = JSON.parse(JSON.stringify(conversation));
  const { settings, settingsAt, model } = later(await kept.store.get(record.id), record);
  await kept.store.put({ ...record, settings, settingsAt, model });
  await kept.done;
  channel?.postMessage({ id: conversation.id, writing });
}

export async function forget(id) {
  if (!database) return;
  await database.delete(NAME, id);
  channel?.postMessage({ id, writing: false });
}

// Another window has changed or removed a conversation: `changed` gets its id, its record, if there is one, and whether
// that window is writing into it.
export function onChangeElsewhere(changed) {
  channel?.addEventListener("message", async ({ data: { id, writing } }) =>
    changed(id, await database?.get(NAME, id), writing),
  );
}
