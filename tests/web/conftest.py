"""A real browser before a real server. A page that logs an error, breaks its own policy or asks another host fails its test.

Chromium runs all tests, Firefox those that are marked `every_browser`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from firefox import launcher
from kit import CLLM, MODEL, SLOW, Server
from page_kit import CHROMIUM, FLAGS, Opener, watch
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

PATIENCE_MS = 20_000 * SLOW
SETTINGS = {"temperature": 0, "max_tokens": 12}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_browser: runs in Firefox too")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "browser" in metafunc.fixturenames:
        more = ["firefox"] if metafunc.definition.get_closest_marker("every_browser") else []
        metafunc.parametrize("browser", ["chromium", *more], indirect=True, scope="session")


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


def start_chromium(playwright: Playwright) -> Browser:
    if not CHROMIUM:
        pytest.skip("there is no Chromium here")
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


def start_firefox(playwright: Playwright, folder: Path) -> Browser:
    found = shutil.which("firefox-esr")
    if not found:
        pytest.skip("there is no Firefox ESR here")
    return playwright.firefox.launch(channel="moz-firefox", executable_path=launcher(folder, found))


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        if request.param == "firefox":
            browser = start_firefox(playwright, tmp_path_factory.mktemp("firefox"))
        else:
            browser = start_chromium(playwright)
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
