#!/usr/bin/env python3
"""Pictures of the page of a running server: its three views in both themes, and a chat on a phone, into docs/images.

    build/release/cllm serve --port 8080 &
    .venv/bin/python tools/screenshots.py --url http://127.0.0.1:8080

Needs Chromium and the Python packages of tests/ (make setup). What is shown is real: a question is asked, and the
engine's charts and the benchmark's curve come from a benchmark that the page itself runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
WAIT_MS = 600_000
TALK = ("What is the capital of France?", "Write a short example of a Python function.")
SETTINGS = {"temperature": 0, "max_tokens": 160}


PHONE = {"viewport": {"width": 360, "height": 640}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}


def converse(page: Page, texts: tuple[str, ...]) -> None:
    """Ask one after the other, and wait for each answer."""
    for text in texts:
        page.get_by_role("textbox", name="Message", exact=True).fill(text)
        page.get_by_role("button", name="Send", exact=True).click()
        page.locator(".writing").wait_for()
        page.get_by_role("button", name="Regenerate").wait_for(timeout=WAIT_MS)


def take(context: BrowserContext, url: str, out: Path, theme: str) -> None:
    """All views in one theme; Engine while the last level of the benchmark runs."""

    def go(view: str, height: int = 800) -> Page:
        page = context.new_page()
        page.set_viewport_size({"width": 1280, "height": height})
        page.goto(f"{url}/#{view}")
        return page

    def shoot(page: Page, view: str) -> None:
        page.screenshot(path=out / f"page-{view}-{theme}.png", animations="disabled")

    chat = go("chat")
    converse(chat, TALK)
    shoot(chat, "chat")
    engine, bench = go("engine", 1320), go("bench")
    bench.get_by_role("button", name="Start").click()
    bench.wait_for_function("() => [...document.querySelectorAll('progress')].at(-1)?.value > 0.4", timeout=WAIT_MS)
    shoot(engine, "engine")
    bench.get_by_role("button", name="Save as JSON").wait_for(timeout=WAIT_MS)
    shoot(bench, "bench")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of the server")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images", help="folder for the pictures")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])

        def fresh(**options: Any) -> BrowserContext:
            context = browser.new_context(**options)
            settings = json.dumps(json.dumps(SETTINGS))
            context.add_init_script(f"location.protocol === 'http:' && (localStorage['cllm.settings'] ??= {settings})")
            return context

        for theme in ("light", "dark"):
            context = fresh(color_scheme=theme)
            take(context, args.url, args.out, theme)
            context.close()
        phone = fresh(**PHONE).new_page()
        phone.goto(f"{args.url}/#chat")
        converse(phone, TALK)
        phone.screenshot(path=args.out / "page-chat-phone.png", animations="disabled")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
