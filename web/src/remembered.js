// Small settings in localStorage, which may be switched off: then they last as long as the page.

const session = new Map();

export function remember(name, value) {
  session.set(name, value);
  try {
    localStorage.setItem(`cllm.${name}`, JSON.stringify(value));
  } catch {
    // kept for the session
  }
}

export function recall(name, fallback) {
  if (session.has(name)) return session.get(name);
  try {
    return JSON.parse(localStorage.getItem(`cllm.${name}`)) ?? fallback;
  } catch {
    return fallback;
  }
}
