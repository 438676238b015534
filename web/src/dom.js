// Elements made by code. Text is always set as text, so what people and models wrote cannot become markup here.

import { createElement } from "lucide";

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function icon(data) {
  const svg = createElement(data);
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

// A button that shows only an icon; its name is for screen readers and the tooltip.
export function iconButton(data, label, onclick, props = {}) {
  return h(
    "button",
    {
      type: "button",
      "aria-label": label,
      title: label,
      onclick,
      ...props,
      class: `icon-button ${props.class ?? ""}`.trim(),
    },
    icon(data),
  );
}

export function setIcon(button, data, label) {
  button.replaceChildren(icon(data));
  button.setAttribute("aria-label", label);
  button.title = label;
}

export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// The Clipboard API exists only on secure origins; a server in the next room is none.
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h("textarea", { class: "visually-hidden", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function copyButton(text, label, iconData, doneIcon) {
  const button = iconButton(iconData, label, async () => {
    try {
      await copyText(text());
      setIcon(button, doneIcon, "Copied");
      setTimeout(() => setIcon(button, iconData, label), 1500);
    } catch {
      toast("The browser did not allow copying.");
    }
  });
  return button;
}

// Text whose direction, and marks that change it, end with it.
export function isolated(text) {
  return `\u2068${text}\u2069`;
}

// A short message at the edge, which stays while it is pointed at; `action` is {label, run}, for undoing.
export function toast(text, action) {
  const box = h("div", { class: "toast" }, h("span", {}, text));
  let timer = 0;
  const leave = () => {
    clearTimeout(timer);
    timer = setTimeout(() => box.remove(), action ? 8000 : 4000);
  };
  for (const there of ["pointerenter", "focusin"]) box.addEventListener(there, () => clearTimeout(timer));
  for (const gone of ["pointerleave", "focusout"]) box.addEventListener(gone, leave);
  leave();
  if (action) {
    box.append(
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            box.remove();
            action.run();
          },
        },
        action.label,
      ),
    );
  }
  document.getElementById("toasts").append(box);
}

// A modal dialog that is removed once it is closed. `build` gets a function that closes it.
export function dialog(title, build) {
  const heading = h("h2", {}, title);
  const box = h("dialog", { class: "dialog", "aria-label": title }, heading);
  box.append(build(() => box.close()));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}
