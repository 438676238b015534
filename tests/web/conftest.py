"""A real browser before a real server. A page that logs an error, breaks its own policy or asks another host fails its test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kit import CLLM, MODEL, SLOW, Server
from page_kit import CHROMIUM, FLAGS, Opener, watch
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

PATIENCE_MS = 20_000 * SLOW
SETTINGS = {"temperature": 0, "max_tokens": 12}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    for path in (CLLM, MODEL):
        if not path.exists():
            pytest.fail(f"{path} is missing: run `make` and `make models`", pytrace=False)
    server = Server(tmp_path_factory.mktemp("serve") / "log")
    try:
        yield server.wait_ready()
    finally:
        server.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("there is no Chromium here")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Opener]:
    """Open the page in a fresh profile; `settings` are those of its conversations, further arguments the context's."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def opener(view: str = "chat", url: str = server.url, settings: dict[str, Any] | None = None, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        kept = json.dumps(json.dumps({**SETTINGS, **(settings or {})}))
        context.add_init_script(f"location.protocol === 'http:' && (localStorage['cllm.settings'] ??= {kept})")
        context.on("page", lambda page: watch(page, faults))
        page = context.new_page()
        page.goto(f"{url}/#{view}")
        page.locator(".server.healthy, .server.locked").wait_for()
        return page

    yield opener
    for context in contexts:
        context.close()
    assert not faults, faults
