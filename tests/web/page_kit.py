"""What the tests of the page share: how the browser is started, and what no page may do."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from playwright.sync_api import ConsoleMessage, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
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
