"""What all views share: the files, themes and the keyboard; then Engine and Bench."""

from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path

import pytest
from kit import PATIENCE_S, Server
from page_kit import VIEWS, Opener, keep, put, talk
from playwright.sync_api import expect

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_files(server: Server) -> None:
    page = server.get("/", **BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b"<script>" not in page.body and b"style=" not in page.body
    tag = page.headers["etag"]
    again = server.get("/", **BROWSER, **{"If-None-Match": tag})
    assert again.status == 304 and again.body == b"" and again.headers["etag"] == tag
    for name, kind in (("app.js", "text/javascript"), ("app-style.css", "text/css"), ("icon.svg", "image/svg+xml"),
                       ("licences.txt", "text/plain")):  # fmt: skip
        plain = server.get(f"/assets/{name}")
        zipped = server.get(f"/assets/{name}", **{"Accept-Encoding": "br, gzip;q=0.8"})
        assert plain.status == 200 and plain.headers["content-type"].startswith(kind)
        assert "content-encoding" not in plain.headers and zipped.headers["content-encoding"] == "gzip"
        assert gzip.decompress(zipped.body) == plain.body and len(zipped.body) < len(plain.body)
        assert server.get(f"/assets/{name}", **{"Accept-Encoding": "gzip;q=0"}).body == plain.body
        assert server.request("HEAD", f"/assets/{name}").headers["content-length"] == str(len(plain.body))
    for name in ("", "none.js", "..%2fapp.js", "app.js%00"):
        assert server.get(f"/assets/{name}").status == 404


def test_weight(server: Server) -> None:
    """What a browser loads before the page works. A library more is a decision (docs/decisions.md), not an accident."""
    zipped = {"Accept-Encoding": "gzip"}
    files = [server.get("/", **BROWSER, **zipped)] + [server.get(f"/assets/{name}", **zipped) for name in ("app.js", "app-style.css", "theme.js")]
    assert sum(len(file.body) for file in files) < 140_000


def test_themes(open_page: Opener) -> None:
    for theme, other in (("light", "dark"), ("dark", "light")):
        page = open_page(color_scheme=theme)
        html = page.locator("html")
        expect(html).to_have_attribute("data-theme", theme)
        page.get_by_role("button", name="theme").click()
        expect(html).to_have_attribute("data-theme", other)
        page.reload()
        expect(html).to_have_attribute("data-theme", other)


@pytest.mark.every_browser
def test_keyboard_alone(open_page: Opener) -> None:
    page = open_page()
    focused = page.locator(":focus")
    message = page.get_by_role("textbox", name="Message", exact=True)
    expect(message).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(message).to_have_value("one\ntwo")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Regenerate").wait_for()
    expect(page.locator("article.user .plain")).to_have_text("one\ntwo")
    expect(message).to_be_focused()
    for wanted in ("Regenerate", "Edit message", "Copy message"):  # backwards from the composer
        page.keyboard.press("Shift+Tab")
        expect(focused).to_have_attribute("aria-label", wanted)
    page.keyboard.press("Alt+s")
    expect(page.get_by_role("complementary")).to_be_visible()
    page.keyboard.press("Alt+n")
    expect(page.locator("article")).to_have_count(0)
    expect(message).to_be_focused()
    for number, view in enumerate(VIEWS, 1):
        page.keyboard.press(f"Alt+{number}")
        expect(page.locator(".tabs [aria-current]")).to_have_attribute("href", f"#{view}")
    page.reload()
    page.locator(".bench-form").wait_for()
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(focused).to_have_attribute("id", "bench-levels")


def median_of(name: str, metrics: str) -> float:
    """Of a histogram, with even spread within its buckets."""
    found = re.findall(rf'^{name}_bucket{{(?:.*,)?le="([^"]*)"}} (\d+)$', metrics, re.MULTILINE)
    low, below, half = 0.0, 0, int(found[-1][1]) / 2
    for bound, count in ((float(bound), int(count)) for bound, count in found):
        if count >= half:
            return low + (bound - low) * (half - below) / (count - below)
        low, below = bound, count
    raise ValueError(f"no {name}")


@pytest.mark.every_browser
def test_engine_view(open_page: Opener, server: Server) -> None:
    load = {"requests": 400, "concurrency": 3, "max_tokens": 40, "ignore_eos": True, "prompt": "Hello"}
    sock = server.open("POST", "/benchmark", load)
    try:
        page = open_page("engine")
        rows = page.locator("#sequences").locator("xpath=ancestor::section").locator("tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.first).to_contain_text("bench-")
        expect(page.locator(".tile").nth(1)).to_contain_text("3")
        expect(page.locator(".chart").first.locator(".legend-value").first).not_to_have_text("–")
        tokens = page.locator("th", has_text="Between two tokens").locator("xpath=..").locator("td").first
        page.get_by_text("Since the start").click()
        expect(tokens).not_to_have_text("0")
        assert page.locator("canvas").count() == 6
    finally:
        sock.close()
    expect(rows).to_have_text(["Nothing is being computed."])
    server.wait_idle()
    median = page.locator("th", has_text="Between two tokens").locator("xpath=..").locator("td").nth(2)
    wanted = median_of("cllm_inter_token_seconds", server.get("/metrics").body.decode())

    def shown() -> float:
        number, unit = median.inner_text().split()
        return float(number) * {"µs": 1e-6, "ms": 1e-3, "s": 1}[unit]

    end = time.monotonic() + PATIENCE_S
    while shown() != pytest.approx(wanted, rel=0.1):  # its next reading is of a server that stands still
        assert time.monotonic() < end, (shown(), wanted)
        page.wait_for_timeout(100)


def test_bench_view(open_page: Opener, server: Server) -> None:
    page = open_page("bench")
    levels = page.get_by_role("textbox", name="Requests at once")
    levels.fill("2, x")
    page.get_by_role("button", name="Start").click()
    assert levels.evaluate("e => e.validity.customError")
    levels.fill("4, 2")
    page.get_by_label("Requests a level").fill("4")
    page.get_by_label("Tokens a request").fill("6")
    before = server.stats()
    page.get_by_role("button", name="Start").click()
    save = page.get_by_role("button", name="Save as JSON")
    save.wait_for()
    after = server.stats()
    assert after["generated_tokens"] - before["generated_tokens"] == 2 * 4 * 6
    assert after["prefix_hit_tokens"] == before["prefix_hit_tokens"]  # each prompt is its own
    with page.expect_download() as download:
        save.click()
    saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert [level["concurrency"] for level in saved["levels"]] == [2, 4]
    assert all(level["successful_requests"] == 4 and level["avg_throughput"] > 0 for level in saved["levels"])
    page.reload()
    expect(page.locator(".results tbody tr")).to_have_count(2)
    page.get_by_label("Requests a level").fill("5000")
    page.get_by_role("button", name="Start").click()
    server.wait_stats(running=2)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    server.wait_idle()


@pytest.mark.every_browser
def test_engine_and_bench_outlive_the_server(open_page: Opener, tmp_path: Path) -> None:
    first = Server(tmp_path / "first").wait_ready()
    engine = open_page("engine", url=first.url)
    expect(engine.locator(".tile").first).to_be_visible()
    bench = open_page("bench", url=first.url)
    put(bench.get_by_label("Requests a level"), "5000")
    bench.get_by_role("button", name="Start").click()
    first.wait_stats(running=8)
    first.process.kill()
    first.process.wait()
    gone = "The server cannot be reached."
    expect(bench.get_by_role("alert")).to_have_text(gone)
    expect(engine.get_by_role("alert")).to_have_text(gone)
    second = Server(tmp_path / "second", "--port", str(first.port))
    try:
        expect(engine.get_by_role("alert")).to_be_hidden()
        expect(engine.locator(".tile").last).to_contain_text("0 requests")
        assert engine.locator(".legend-value").first.inner_text() in ("0", "–")  # the rates of the first are forgotten
        put(bench.get_by_label("Requests a level"), "2")
        bench.get_by_role("textbox", name="Requests at once").fill("1")
        bench.get_by_role("button", name="Start").click()
        bench.get_by_role("button", name="Save as JSON").wait_for()
        expect(bench.get_by_role("alert")).to_be_hidden()
    finally:
        engine.context.close()
        bench.context.close()
        second.close()


@pytest.mark.parametrize(("zone", "hour"), [("Asia/Kolkata", "14:30:00"), ("America/Los_Angeles", "01:00:00")])
def test_a_benchmark_is_dated_in_the_readers_zone(open_page: Opener, zone: str, hour: str) -> None:
    page = open_page("bench", timezone_id=zone)
    level = {"concurrency": 8, "avg_throughput": 100, "avg_response_time": 1, "max_response_time": 2, "failed_requests": 0,
             "ttft": {"p50": 0.1, "p95": 0.2}, "between_tokens": {"p50": 0.01, "p95": None}}  # fmt: skip
    result = {"model": "m", "date": "2026-01-02T09:00:00.000Z", "settings": {"requests": 72, "max_tokens": 50}, "levels": [level]}
    page.evaluate("(text) => { localStorage['cllm.bench-result'] = text; }", json.dumps(result))
    page.reload()
    expect(page.locator(".results .hint")).to_contain_text(f"2 Jan 2026, {hour}")


def test_a_key_that_no_header_can_hold(open_page: Opener) -> None:
    page = open_page()
    page.get_by_role("button", name="API key").click()
    key = page.get_by_label("Key that is sent to this server")
    key.fill("schlüssel")
    page.get_by_role("button", name="Save").click()
    assert key.evaluate("e => e.validity.patternMismatch")
    key.fill(" key-1 ")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("localStorage['cllm.key']") == '"key-1"'


def test_a_message_at_the_edge_waits_for_its_reader(open_page: Opener) -> None:
    page = open_page()
    page.clock.install()
    keep(page, talk(1))
    page.locator(".conversation").hover()
    page.get_by_role("button", name="Delete").click()
    undo = page.get_by_role("button", name="Undo")
    undo.focus()
    page.clock.run_for(20_000)
    expect(undo).to_be_focused()
    undo.blur()
    page.clock.run_for(7_000)
    expect(undo).to_be_visible()
    page.clock.run_for(2_000)
    expect(undo).to_have_count(0)
