// The frame around the three views: which one is shown, the server's state, key, theme and shortcuts.

import { KeyRound, Keyboard, Moon, Sun } from "lucide";
import { Bench } from "./bench.js";
import { Chat } from "./chat.js";
import { Connection } from "./connection.js";
import { dialog, h, iconButton, setIcon } from "./dom.js";
import { Engine } from "./engine.js";
import { recall, remember } from "./remembered.js";

const STATES = {
  connecting: "connecting",
  healthy: "",
  loading: "the model is loading",
  draining: "shutting down",
  locked: "wants an API key",
  away: "cannot be reached",
};
const SHORTCUTS = [
  ["Enter", "send the message"],
  ["Shift+Enter", "start a new line"],
  ["Esc", "stop the answer, close what is open"],
  ["Alt+N", "new conversation"],
  ["Alt+S", "settings of the conversation"],
  ["Alt+1, 2, 3", "Chat, Engine, Bench"],
  ["?", "this list (outside of text fields)"],
];

const connection = new Connection();
const chat = new Chat(connection);
const views = { chat, engine: new Engine(connection), bench: new Bench(connection) };
const content = document.getElementById("content");
let shown = null;

function show() {
  const name = location.hash.slice(1) in views ? location.hash.slice(1) : "chat";
  for (const link of document.querySelectorAll(".tabs a"))
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  if (views[name] === shown) return;
  shown?.hidden?.();
  shown = views[name];
  content.replaceChildren(shown.element);
  document.title = shown.pageTitle;
  shown.shown();
}

function served() {
  const { models } = connection;
  const ready = models.filter(({ state }) => state === "ready").length;
  return models.length > 1 ? `${models.length} models, ${ready} loaded` : connection.served().id;
}

// Redrawn only when it says something else: it is read out.
function drawServer() {
  const box = document.getElementById("server");
  const healthy = connection.state === "healthy";
  const text = healthy ? served() : `Server: ${STATES[connection.state]}`;
  const { context } = connection.models.length === 1 ? connection.served() : {};
  box.className = `server ${connection.state}`;
  box.title = healthy && context ? `${context} tokens of context` : "";
  if (box.textContent === text) return;
  box.replaceChildren(h("span", { class: "lamp" }), h("span", { class: "server-name" }, text));
}

function askKey() {
  dialog("API key", (close) => {
    const input = h("input", {
      type: "password",
      id: "key",
      autocomplete: "off",
      spellcheck: "false",
      pattern: "\\s*[!-~]*\\s*", // what a header can hold
      title: "Letters, digits and signs of ASCII, without spaces",
    });
    input.value = recall("key", "");
    return h(
      "form",
      {
        method: "dialog",
        onsubmit: () => {
          remember("key", input.value.trim());
          connection.check();
        },
      },
      h("label", { for: "key" }, "Key that is sent to this server"),
      input,
      h("p", { class: "hint" }, "Kept in this browser. Leave it empty for a server without keys."),
      h(
        "div",
        { class: "edit-actions" },
        h("button", { type: "button", onclick: close }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, "Save"),
      ),
    );
  });
}

function showShortcuts() {
  dialog("Keyboard", (close) =>
    h(
      "div",
      {},
      h(
        "dl",
        { class: "shortcuts" },
        ...SHORTCUTS.flatMap(([keys, what]) => [
          h("dt", {}, ...keys.split("+").flatMap((key, at) => [at ? "+" : "", h("kbd", {}, key)])),
          h("dd", {}, what),
        ]),
      ),
      h(
        "p",
        { class: "hint" },
        `cLLM ${connection.version}. `,
        h("a", { href: "assets/licences.txt" }, "Licences of the parts of this page"),
      ),
      h(
        "div",
        { class: "edit-actions" },
        h("button", { type: "button", class: "primary", autofocus: true, onclick: close }, "Close"),
      ),
    ),
  );
}

function addActions() {
  const theme = iconButton(Moon, "", () => {
    const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    dispatchEvent(new CustomEvent("cllm:choose-theme", { detail: other }));
  });
  const drawTheme = () => {
    const dark = document.documentElement.dataset.theme === "dark";
    setIcon(theme, dark ? Sun : Moon, dark ? "Light theme" : "Dark theme");
  };
  addEventListener("cllm:theme", drawTheme);
  drawTheme();
  document
    .getElementById("bar-actions")
    .append(
      iconButton(Keyboard, "Keyboard shortcuts", showShortcuts, { class: "wide-only" }),
      iconButton(KeyRound, "API key", askKey),
      theme,
    );
}

function onKey(event) {
  if (document.querySelector("dialog[open]")) return;
  const inText = event.target.closest?.("input, textarea, select");
  if (event.key === "Escape") shown.escape?.();
  else if (event.key === "?" && !inText) showShortcuts();
  else if (event.altKey && !event.ctrlKey && !event.metaKey) onAltKey(event);
}

function onAltKey(event) {
  const view = { Digit1: "chat", Digit2: "engine", Digit3: "bench" }[event.code];
  if (view) location.hash = view;
  else if (event.code === "KeyN") {
    location.hash = "chat";
    chat.create();
  } else if (event.code === "KeyS" && shown === chat) chat.toggleSettings();
  else return;
  event.preventDefault();
}

// Not by its address, which would be another view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});
// iOS lays its keyboard over the page and tells only this viewport; pinching also makes that one smaller.
visualViewport?.addEventListener("resize", () => {
  const height = Math.round(visualViewport.height * visualViewport.scale);
  document.documentElement.style.setProperty("--visible-height", `${height}px`);
});
addActions();
connection.addEventListener("change", drawServer);
drawServer();
addEventListener("hashchange", show);
addEventListener("keydown", onKey);
connection.start();
await chat.start();
show();
