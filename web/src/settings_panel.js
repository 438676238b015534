// The settings of one conversation: system prompt and sampling. A new conversation begins with the latest ones.

import { X } from "lucide";
import { DEFAULTS } from "./conversation.js";
import { h, iconButton } from "./dom.js";
import { remember } from "./remembered.js";

const NUMBERS = [
  {
    name: "temperature",
    label: "Temperature",
    min: 0,
    max: 2,
    step: 0.05,
    hint: "0 takes the likeliest token",
  },
  {
    name: "top_p",
    label: "Top p",
    min: 0.05,
    max: 1,
    step: 0.01,
    hint: "the likeliest tokens of this share",
  },
  { name: "top_k", label: "Top k", min: 0, max: 256, step: 1, hint: "0: any number of tokens" },
  { name: "min_p", label: "Min p", min: 0, max: 1, step: 0.01, hint: "share of the likeliest one's chance" },
  { name: "repetition_penalty", label: "Repetition penalty", min: 0.5, max: 2, step: 0.01, hint: "1: none" },
  { name: "max_tokens", label: "Most tokens", min: 1, step: 1, hint: "empty: up to the context" },
  { name: "seed", label: "Seed", min: 0, step: 1, hint: "empty: another one each time" },
];

function numberField(spec, settings, changed) {
  const id = `setting-${spec.name}`;
  const input = h("input", {
    id,
    type: "number",
    min: String(spec.min),
    max: spec.max?.toString(),
    step: "any",
    inputmode: "decimal",
    "aria-describedby": `${id}-hint`,
    value: settings[spec.name]?.toString() ?? "",
  });
  const optional = DEFAULTS[spec.name] === null;
  const slider = optional
    ? null
    : h("input", {
        type: "range",
        min: String(spec.min),
        max: String(spec.max),
        step: String(spec.step),
        value: String(settings[spec.name]),
        "aria-label": spec.label,
        tabindex: "-1",
      });
  const take = (text) => {
    const value = text.trim() === "" ? DEFAULTS[spec.name] : Number(text);
    const whole = spec.step !== 1 || value === null || Number.isInteger(value);
    const fits = value === null || (value >= spec.min && value <= (spec.max ?? Infinity) && whole);
    input.toggleAttribute("aria-invalid", !fits);
    if (!fits) return;
    settings[spec.name] = value;
    if (slider && value !== null) slider.value = String(value);
    changed();
  };
  input.addEventListener("input", () => take(input.value));
  slider?.addEventListener("input", () => {
    input.value = slider.value;
    take(slider.value);
  });
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, spec.label),
    input,
    slider,
    h("p", { class: "hint", id: `${id}-hint` }, spec.hint),
  );
}

function systemField(settings, changed) {
  const area = h("textarea", { id: "setting-system", rows: 4 });
  area.value = settings.system;
  area.addEventListener("input", () => {
    settings.system = area.value;
    changed();
  });
  return h("div", { class: "field wide" }, h("label", { for: "setting-system" }, "System prompt"), area);
}

function thinkingField(settings, changed) {
  const choices = [
    ["", "as the model likes"],
    ["on", "on"],
    ["off", "off"],
  ];
  const select = h(
    "select",
    { id: "setting-thinking" },
    ...choices.map(([value, text]) => h("option", { value }, text)),
  );
  select.value = settings.thinking;
  select.addEventListener("change", () => {
    settings.thinking = select.value;
    changed();
  });
  return h(
    "div",
    { class: "field" },
    h("label", { for: "setting-thinking" }, "Thinking"),
    select,
    h("p", { class: "hint" }, "for models whose template can switch it"),
  );
}

// `changed` is called after every change of `settings`, which is changed in place.
export function settingsPanel(settings, changed, close) {
  const keep = () => {
    remember("settings", settings);
    changed();
  };
  const reset = h(
    "button",
    {
      type: "button",
      onclick: () => {
        Object.assign(settings, DEFAULTS);
        keep();
        fill();
        panel.querySelector("button").focus();
      },
    },
    "Back to the defaults",
  );
  const panel = h("aside", {
    class: "settings",
    id: "settings",
    "aria-label": "Settings of the conversation",
  });
  const fill = () =>
    panel.replaceChildren(
      h("div", { class: "panel-head" }, h("h2", {}, "Settings"), iconButton(X, "Close settings", close)),
      systemField(settings, keep),
      ...NUMBERS.map((spec) => numberField(spec, settings, keep)),
      thinkingField(settings, keep),
      reset,
    );
  fill();
  return panel;
}
