#!/usr/bin/env python3
"""Pictures of the page of a running server: its three views in both themes, into docs/images.

    build/release/cllm serve --port 8080 &
    .venv/bin/python tools/screenshots.py --url http://127.0.0.1:8080

Needs Chromium and the Python packages of tests/ (make setup). What is shown is real: a question is asked, and the
engine's charts and the benchmark's curve come from a benchmark that the page itself runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
WIDE = {"width": 1280, "height": 800}
QUESTION = "What is a hash table? Answer in three sentences, then show a short example in Python."
SYSTEM = "You are a helpful assistant. You answer briefly, in Markdown."


def chat(page: Page) -> None:
    page.get_by_role("textbox", name="Message").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Regenerate").wait_for(timeout=120_000)


def bench(page: Page) -> None:
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Save as JSON").wait_for(timeout=600_000)


def take(browser: Browser, url: str, out: Path, theme: str) -> None:
    """All views in one theme. Engine is looked at while Bench keeps the server busy from another tab."""
    context = browser.new_context(viewport=WIDE, color_scheme=theme, device_scale_factor=1)
    settings = f'{{"system": "{SYSTEM}", "temperature": 0, "max_tokens": 220}}'
    context.add_init_script(f"location.protocol === 'http:' && (localStorage['cllm.settings'] ??= '{settings}')")

    def shot(page: Page, name: str, act: Callable[[Page], None]) -> None:
        page.goto(f"{url}/#{name}")
        act(page)
        page.mouse.move(640, 400)
        page.screenshot(path=out / f"page-{name}-{theme}.png", animations="disabled")

    shot(context.new_page(), "chat", chat)
    watcher = context.new_page()
    watcher.goto(f"{url}/#engine")
    shot(context.new_page(), "bench", bench)
    watcher.screenshot(path=out / f"page-engine-{theme}.png", animations="disabled")
    context.close()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of the server")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images", help="folder for the pictures")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        for theme in ("light", "dark"):
            take(browser, args.url, args.out, theme)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
