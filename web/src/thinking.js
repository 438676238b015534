// Models that think aloud put it between <think> and </think> before the answer; some templates write the first
// of the two into the prompt, and then only the second is seen.

const OPEN = "<think>";
const CLOSE = "</think>";

export function splitThinking(text) {
  const start = text.trimStart();
  const opened = start.startsWith(OPEN);
  if (!opened && OPEN.startsWith(start)) return { thinking: "", answer: "", open: start.length > 0 }; // not known yet
  const end = text.indexOf(CLOSE);
  if (end < 0)
    return opened
      ? { thinking: start.slice(OPEN.length).trim(), answer: "", open: true }
      : { thinking: "", answer: text, open: false };
  const inner = text.slice(0, end);
  if (!opened && inner.includes(OPEN)) return { thinking: "", answer: text, open: false }; // it writes about it
  const thinking = opened ? inner.trimStart().slice(OPEN.length) : inner;
  return { thinking: thinking.trim(), answer: text.slice(end + CLOSE.length).trimStart(), open: false };
}

// Both kinds of thinking of a message: what the server told apart, and what stands in the text.
export function partsOf(message) {
  const { thinking, answer, open } = splitThinking(message.content);
  return { thinking: [message.reasoning, thinking].filter(Boolean).join("\n\n"), answer, open };
}
