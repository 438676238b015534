// The server's routes, as promises and streams. Every failure is an ApiFailure with a sentence for people.

import { EventSourceParserStream } from "eventsource-parser/stream";
import { recall } from "./remembered.js";

export class ApiFailure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0: no answer at all
  }
}

function headers(body) {
  const key = recall("key", "");
  return {
    Accept: "application/json",
    ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    ...(key ? { Authorization: `Bearer ${key}` } : {}),
  };
}

// OpenAI's {"error": {"message"}} and the native {"error": "…"}.
function errorText(body) {
  const error = body?.error;
  return typeof error === "string" ? error : error?.message;
}

async function failure(response) {
  const body = await response.json().catch(() => null);
  const text = errorText(body) ?? `The server answered with status ${response.status}.`;
  if (response.status === 401)
    return new ApiFailure("This server wants an API key. Enter it under the key symbol above.", 401);
  const wait = response.headers.get("Retry-After");
  return new ApiFailure(wait ? `${text} (try again in ${wait} s)` : text, response.status);
}

// `path` is relative, so that the page also works below a proxy's prefix.
async function request(path, { body, signal } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: headers(body),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiFailure("The server cannot be reached.", 0);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export async function getJson(path, options) {
  return (await request(path, options)).json();
}

export async function getText(path, options) {
  return (await request(path, options)).text();
}

// The `data` of a native route.
export async function native(path, options) {
  return (await getJson(path, options)).data;
}

// The chunks of a streamed chat completion, until its last event.
export async function* streamChat(body, signal) {
  const response = await request("v1/chat/completions", {
    body: { ...body, stream: true, stream_options: { include_usage: true } },
    signal,
  });
  const events = response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
  try {
    for await (const event of readAll(events)) {
      if (event.data === "[DONE]") return;
      const chunk = JSON.parse(event.data);
      if (chunk.error) throw new ApiFailure(errorText(chunk), response.status);
      yield chunk;
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiFailure) throw error;
  }
  throw new ApiFailure("The connection broke before the answer was complete.", 0);
}

// Not every browser can iterate over a stream.
async function* readAll(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
