"""Several models by name: chosen for each conversation, watched one at a time, measured one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit import MODEL, Server
from page_kit import Opener, answers, ask, fake_stream, keep, show, talk, violations, wait_done
from playwright.sync_api import Page, Route, expect


def fake_models(page: Page, **states: str | None) -> dict[str, str | None]:
    """What the server is to list from now on; the states may be changed, and None is a server that tells none."""

    def answer(route: Route) -> None:
        listed: list[dict[str, Any]] = []
        for name, state in states.items():
            told = {} if state is None else {"state": state}
            length = {"max_model_len": 8192} if state in (None, "ready") else {}
            listed.append({"id": name, "object": "model", "created": 1, "owned_by": "cllm", **told, **length})
        route.fulfill(json={"object": "list", "data": listed})

    page.route("**/v1/models", answer)
    return states


def test_one_model_has_no_chooser(open_page: Opener, server: Server) -> None:
    page = open_page()
    expect(page.locator("#server")).to_have_text(server.get("/v1/models").json["data"][0]["id"])
    for view in ("chat", "engine", "bench"):
        show(page, view)
        expect(page.get_by_label("Model", exact=True)).to_be_hidden()


def test_each_conversation_has_its_model(open_page: Opener) -> None:
    page = open_page()
    fake_models(page, alpha="ready", beta="unloaded", gamma="loading")
    bodies = fake_stream(page, {"content": "Yes."})
    page.reload()
    chooser = page.get_by_label("Model", exact=True)
    expect(chooser.get_by_role("option")).to_have_text(["alpha", "beta (loads when asked)", "gamma (is loading)"])
    expect(page.locator("#server")).to_have_text("3 models, 1 loaded")
    ask(page, "First")
    wait_done(page)
    chooser.select_option("beta")
    ask(page, "Second")
    wait_done(page)
    expect(page.locator(".figures")).to_contain_text(["alpha", "beta"])
    page.keyboard.press("Alt+n")
    expect(chooser).to_have_value("beta")  # begins with the latest choice
    chooser.select_option("alpha")
    ask(page, "Third")
    wait_done(page)
    assert [body["model"] for body in bodies] == ["alpha", "beta", "alpha"]
    page.reload()
    expect(chooser).to_have_value("alpha")
    page.get_by_role("button", name="First", exact=True).click()
    expect(chooser).to_have_value("beta")
    assert violations(page) == []
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth <= 360")
    assert chooser.bounding_box()["width"] > 80


def test_a_model_that_loads(open_page: Opener) -> None:
    page = open_page()
    states = fake_models(page, alpha="ready", beta="unloaded")
    page.reload()
    page.get_by_label("Model", exact=True).select_option("beta")
    held: list[Route] = []
    page.route("**/v1/chat/completions", lambda route: held.append(route))
    ask(page, "Hello")
    expect(answers(page)).to_have_text("The model is being loaded")
    states["beta"] = "ready"
    expect(answers(page)).to_have_text("Waiting for the first token")
    held[0].fulfill(content_type="text/event-stream", body='data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n')
    expect(answers(page)).to_have_text("Hi")


def test_a_model_that_is_no_longer_served(open_page: Opener) -> None:
    page = open_page()
    bodies = fake_stream(page, {"content": "Yes."})
    fake_models(page, alpha=None, beta=None)
    kept = talk(1)
    kept["model"] = "gone"
    keep(page, kept)
    expect(page.get_by_label("Model", exact=True)).to_have_value("alpha")
    ask(page, "Hello")
    wait_done(page)
    assert bodies[0]["model"] == "alpha"


def test_before_the_server_is_known_none_is_named(open_page: Opener) -> None:
    page = open_page()
    page.route("**/health", lambda route: route.fulfill(status=503, json={"success": False, "error": "loading"}))
    bodies = fake_stream(page, {"content": "Yes."})
    page.reload()
    ask(page, "Hello")
    wait_done(page)
    assert "model" not in bodies[0]


def test_engine_and_bench_of_one_model(open_page: Opener, server: Server) -> None:
    page = open_page()
    fake_models(page, alpha="ready", beta="unloaded")
    nothing = {key: {} if isinstance(value, dict) else [] if isinstance(value, list) else 0 for key, value in server.stats().items()}
    asked: list[str] = []

    def stats(route: Route) -> None:
        asked.append(route.request.url.split("/")[-1])
        if route.request.url.endswith("beta"):
            route.fulfill(json={"success": True, "data": nothing})
        else:
            route.fulfill(json={"success": True, "data": {**server.stats(), "running": 7}})

    page.route("**/stats*", stats)
    page.reload()
    expect(page.locator("#server")).to_have_text("2 models, 1 loaded")
    show(page, "engine")
    tiles = page.locator(".tile-value")
    expect(tiles.nth(1)).to_have_text("7")
    page.get_by_label("Model", exact=True).select_option("beta")
    expect(tiles.nth(1)).to_have_text("0")
    expect(tiles.nth(3)).to_have_text("–")  # a pool of nothing
    assert violations(page) == []
    assert set(asked) == {"stats?model=alpha", "stats?model=beta"}
    bodies: list[dict[str, Any]] = []

    def benchmark(route: Route) -> None:
        bodies.append(route.request.post_data_json)
        route.fulfill(status=400, json={"success": False, "error": "enough"})

    page.route("**/benchmark", benchmark)
    show(page, "bench")
    page.get_by_label("Model", exact=True).select_option("beta")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_have_text("enough")
    assert bodies[0]["model"] == "beta"
    page.reload()
    expect(page.get_by_label("Model", exact=True)).to_have_value("beta")


def test_figures_of_models_are_told_apart(open_page: Opener, server: Server) -> None:
    """Where the metrics have the label `model`, a model's latencies are its own, whatever its name holds."""
    page = open_page()
    fake_models(page, **{'a"\\b': "ready", "plain": "ready"})
    lines = ""
    for label, count in (('a\\"\\\\b', 5), ("plain", 9)):
        for name in ("request_queue", "time_to_first_token", "inter_token", "request", "step"):
            bucket = f"cllm_{name}_seconds_bucket"
            lines += f'{bucket}{{model="{label}",le="0.5"}} {count}\n{bucket}{{le="+Inf",model="{label}"}} {count}\n'
            lines += f'cllm_{name}_seconds_sum{{model="{label}"}} {count / 10}\n'
    page.route("**/metrics", lambda route: route.fulfill(body=lines))
    first = {**server.stats(), "model": 'a"\\b'}
    page.route("**/stats", lambda route: route.fulfill(json={"success": True, "data": first}))
    page.route("**/stats?model=a*", lambda route: route.fulfill(json={"success": True, "data": first}))
    second = {**first, "model": "plain"}
    page.route("**/stats?model=plain", lambda route: route.fulfill(json={"success": True, "data": second}))
    page.reload()
    show(page, "engine")
    page.get_by_text("Since the start").click()
    cells = page.locator("th", has_text="Whole request").locator("xpath=..").locator("td")
    expect(cells.nth(0)).to_have_text("5")
    expect(cells.nth(1)).to_have_text("100 ms")
    page.get_by_label("Model", exact=True).select_option("plain")
    expect(cells.nth(0)).to_have_text("9")


def test_two_models_of_a_server(open_page: Opener, tmp_path: Path) -> None:
    both = Server(tmp_path / "log", "--model", f"second={MODEL}").wait_ready()
    try:
        page = open_page(url=both.url)
        chooser = page.get_by_label("Model", exact=True)
        first = both.get("/v1/models").json["data"][0]["id"]
        expect(chooser.get_by_role("option")).to_have_text([first, "second (loads when asked)"])
        chooser.select_option("second")
        ask(page, "Hello")
        wait_done(page)
        expect(page.locator(".figures")).to_contain_text("second")
        expect(chooser.get_by_role("option")).to_have_text([first, "second"])
        show(page, "engine")
        page.get_by_text("Since the start").click()
        requests = page.locator("th", has_text="Whole request").locator("xpath=..").locator("td").first
        expect(requests).to_have_text("0")
        chooser.select_option("second")
        expect(requests).to_have_text("1")
        show(page, "bench")
        chooser.select_option("second")
        page.get_by_role("textbox", name="Requests at once").fill("2")
        page.get_by_label("Requests a level").fill("2")
        page.get_by_label("Tokens a request").fill("4")
        page.get_by_role("button", name="Start").click()
        expect(page.locator(".results .hint")).to_contain_text("second, ")
        assert both.get("/stats?model=second").data["generated_tokens"] >= 9
        assert both.stats()["generated_tokens"] == 0
        page.context.close()
    finally:
        both.close()
