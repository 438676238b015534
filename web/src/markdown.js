// Markdown to elements. HTML in the text stays text, and what markdown-it makes is cleaned once more by DOMPurify,
// which hands over elements: no string becomes markup outside it.

import DOMPurify from "dompurify";
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { Check, Copy } from "lucide";
import MarkdownIt from "markdown-it";
import { copyButton, h } from "./dom.js";

const languages = {
  bash,
  c,
  cpp,
  css,
  diff,
  go,
  java,
  javascript,
  json,
  python,
  rust,
  sql,
  typescript,
  xml,
  yaml,
};
for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);

function highlight(code, name) {
  return hljs.getLanguage(name) ? hljs.highlight(code, { language: name, ignoreIllegals: true }).value : "";
}

const md = new MarkdownIt({ html: false, linkify: true, highlight });

// An image would be fetched from wherever the model says, which tells that somebody reads this: a link instead.
md.renderer.rules.image = (tokens, at) => {
  const { attrs, content } = tokens[at];
  const { escapeHtml } = md.utils;
  const source = attrs.find(([name]) => name === "src")[1];
  return `<a href="${escapeHtml(source)}">${escapeHtml(content || source)}</a>`;
};

// The page has headings of its own above these.
md.core.ruler.push("heading_levels", ({ tokens }) => {
  for (const token of tokens)
    if (token.type.startsWith("heading_")) token.tag = `h${Math.min(6, Number(token.tag[1]) + 2)}`;
});

const ALLOWED = {
  ALLOWED_TAGS: [
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
  ],
  ALLOWED_ATTR: ["class", "href", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};

// Code that holds such signs is not what it looks like.
const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

function dressCode(pre) {
  const code = pre.querySelector("code");
  const name = code?.className.match(/language-(\S+)/)?.[1] ?? "";
  const turns = TURNS.test(pre.textContent) ? ", with signs that change the order of what is shown" : "";
  const box = h(
    "div",
    { class: "code" },
    h(
      "div",
      { class: "code-head" },
      h("span", {}, `${name || "text"}${turns}`),
      copyButton(() => pre.textContent, "Copy code", Copy, Check),
    ),
  );
  pre.replaceWith(box);
  pre.tabIndex = 0; // wide code scrolls, also by keyboard
  pre.setAttribute("role", "group"); // a region would be a landmark, one for each
  pre.setAttribute("aria-label", name ? `Code, ${name}` : "Code");
  box.append(pre);
}

export function renderMarkdown(text) {
  const fragment = DOMPurify.sanitize(md.render(text), ALLOWED);
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const table of fragment.querySelectorAll("table")) {
    const box = h("div", { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "Table" });
    table.replaceWith(box);
    box.append(table);
  }
  for (const pre of fragment.querySelectorAll("pre")) dressCode(pre);
  return fragment;
}
