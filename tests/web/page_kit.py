"""What the tests of the page share: how the browser is started, and what no page may do."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit import PATIENCE_S
from playwright.sync_api import ConsoleMessage, Locator, Page, Route, expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PHONE = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
AXE = Path(__file__).resolve().parents[2] / "web/node_modules/axe-core/axe.min.js"
AXE_OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
}
VIEWS = ("chat", "engine", "bench")
LONGEST_KEPT = """() => new Promise((done) => {
    const opening = indexedDB.open("cllm");
    opening.onsuccess = () => {
        const asked = opening.result.transaction("conversations").objectStore("conversations").getAll();
        asked.onsuccess = () => {
            const answers = asked.result.flatMap((one) => one.messages).filter(({role}) => role === "assistant");
            opening.result.close();
            done(Math.max(0, ...answers.map(({content}) => content.length)));
        };
    };
})"""
PROSE = """# Head

Some *text* with `code` and a [link](https://example.org).

```python
def a_function_with_a_long_name(argument_one, argument_two, argument_three, argument_four):
    return "x" * 1000  # comment
```

| a column | another column | the third |
|---|---|---|
| 1 | 2 | 3 |

> quoted
"""
Opener = Callable[..., Page]  # conftest's open_page


def watch(page: Page, faults: list[str]) -> None:
    """Note what must not happen. A refused or failed request is for the page to handle; the browser logs it anyway."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            faults.append(message.text)

    page.on("console", on_console)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("http://127.0.0.1", "blob:http://127.0.0.1"))
            else faults.append(f"asked for {request.url}"))  # fmt: skip


def show(page: Page, view: str) -> None:
    page.goto(page.url.split("#")[0] + f"#{view}")
    page.locator(f".tabs [aria-current][href='#{view}']").wait_for()
    if view == "engine":
        page.locator(".tile").first.wait_for()


def put(field: Locator, text: str) -> None:
    """Into a field of numbers: Firefox does not select what `fill` is to replace in one."""
    field.clear()
    field.fill(text)


def violations(page: Page) -> list[dict[str, Any]]:
    """What axe finds. It comes in by the debugger, so the page's policy stays in force."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("(options) => axe.run(document, options).then((r) => r.violations)", AXE_OPTIONS)
    return [{"id": v["id"], "impact": v["impact"], "where": [n["html"][:150] for n in v["nodes"]]} for v in found]


# ---- the chat


def ask(page: Page, text: str) -> None:
    asked = page.locator("article.assistant").count()
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    expect(page.locator("article.assistant")).to_have_count(asked + 1)


def answers(page: Page) -> Locator:
    return page.locator("article.assistant .said")


def wait_done(page: Page) -> None:
    page.get_by_role("button", name=re.compile("Regenerate|Try again")).wait_for()


def squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def fake_stream(page: Page, *deltas: dict[str, str]) -> list[dict[str, Any]]:
    """Answer the next chats with these pieces instead of asking the model; the bodies that were sent."""
    bodies: list[dict[str, Any]] = []
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"

    def answer(route: Route) -> None:
        bodies.append(route.request.post_data_json)
        route.fulfill(content_type="text/event-stream", body=stream)

    page.route("**/v1/chat/completions", answer)
    return bodies


def talk(count: int, ident: str = "kept", title: str = "") -> dict[str, Any]:
    """A conversation of so many questions with answers, as the page keeps it."""
    settings = {"system": "", "temperature": 0, "top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1, "max_tokens": 12,
                "seed": None, "thinking": ""}  # fmt: skip
    messages = []
    for n in range(count):
        stats = {"tokens": 120, "ttft": 210, "rate": 33.3, "finish": "stop"}
        more = {"error": "", "model": ""}
        messages.append({"role": "user", "content": f"Question {n}", "reasoning": "", "stats": None, **more})
        messages.append({"role": "assistant", "content": PROSE, "reasoning": "Hm.", "stats": stats, **more})
    return {"id": ident, "title": title, "created": 1, "updated": count, "model": "", "settings": settings, "messages": messages}


def wait_kept(page: Page, length: int) -> None:
    """Until the browser's store has that much of an answer."""
    end = time.monotonic() + PATIENCE_S
    while page.evaluate(LONGEST_KEPT) <= length:
        assert time.monotonic() < end, "no answer has been kept"
        page.wait_for_timeout(50)


def keep(page: Page, *conversations: dict[str, Any]) -> None:
    """Put them into the browser's store and load the page anew."""
    page.evaluate(
        """(all) => new Promise((done) => {
            const opening = indexedDB.open("cllm");
            opening.onsuccess = () => {
                const change = opening.result.transaction("conversations", "readwrite");
                for (const one of all) change.objectStore("conversations").put(one);
                change.oncomplete = () => { opening.result.close(); done(); };
            };
        })""",
        conversations,
    )
    page.reload()
    page.locator("article").first.wait_for()
