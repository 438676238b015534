"""The chat: asking, stopping, changing, keeping, and what happens when the server goes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from kit import Server
from page_kit import Opener, answers, ask, fake_stream, squeeze, wait_done, wait_kept
from playwright.sync_api import expect

QUESTION = "What is the capital of France?"
STORY = "Write a very long story about the sea."


@pytest.mark.every_browser
def test_an_answer_is_the_models(open_page: Opener, server: Server) -> None:
    page = open_page()
    ask(page, QUESTION)
    wait_done(page)
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": QUESTION}]
    fields = {"messages": messages, "temperature": 0, "max_tokens": 12, "top_p": 0.95}
    wanted = server.post("/v1/chat/completions", fields).json["choices"][0]["message"]["content"]
    assert squeeze(answers(page).inner_text()) == squeeze(wanted)
    figures = page.locator(".message-foot .figures").inner_text()
    assert re.match(r"\d+ tokens · [\d.,]+ tokens/s · first after [\d.]+ m?s", figures)
    expect(page).to_have_title(f"{QUESTION} – cLLM")


@pytest.mark.every_browser
def test_streaming_stop_and_regenerate(open_page: Opener, server: Server) -> None:
    page = open_page(settings={"max_tokens": 2000})
    ask(page, STORY)
    expect(answers(page)).to_have_text(re.compile("..."))
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_visible()  # text is there, and more is to come
    first = answers(page).inner_text()
    page.wait_for_function("n => document.querySelector('article.assistant .said').innerText.length > n", arg=len(first))
    page.keyboard.press("Escape")
    wait_done(page)
    server.wait_idle()
    expect(page.locator(".figures")).to_contain_text("stopped")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("article")).to_have_count(2)
    expect(answers(page)).to_have_text(re.compile("..."))
    stop.click()
    wait_done(page)
    server.wait_idle()


def test_editing(open_page: Opener) -> None:
    page = open_page()
    bodies = fake_stream(page, {"content": "Certainly."})
    for text in ("one", "two"):
        ask(page, text)
        wait_done(page)
    assert [m["content"] for m in bodies[1]["messages"][1:]] == ["one", "Certainly.", "two"]
    first = page.locator("article").first
    first.hover()
    first.get_by_role("button", name="Edit message").click()
    field = page.get_by_role("textbox", name="Edit message")
    field.press("Escape")
    expect(first).to_contain_text("one")
    first.get_by_role("button", name="Edit message").click()
    field.fill("three")
    field.press("Enter")
    expect(page.locator("article")).to_have_count(2)  # what came after it is gone
    wait_done(page)
    assert [m["content"] for m in bodies[2]["messages"][1:]] == ["three"]
    page.locator("article.assistant").get_by_role("button", name="Edit message").click()
    field.fill("Never.")
    page.get_by_role("button", name="Save").click()
    expect(answers(page)).to_have_text("Never.")
    assert len(bodies) == 3


def test_settings_reach_the_server(open_page: Opener) -> None:
    page = open_page()
    bodies = fake_stream(page, {"content": "Yes."})
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_role("spinbutton", name="Top k").fill("40")
    page.get_by_role("spinbutton", name="Top p").fill("7")  # out of bounds: not taken
    page.get_by_role("spinbutton", name="Seed").fill("11")
    page.get_by_label("Thinking").select_option("off")
    ask(page, "Hello")
    wait_done(page)
    body = bodies[0]
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["top_k"], body["seed"], body["top_p"], body["max_tokens"]) == (40, 11, 0.95, 12)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    page.reload()
    page.get_by_role("button", name="Settings", exact=True).click()
    expect(page.get_by_label("System prompt")).to_have_value("Be brief.")


def test_history(open_page: Opener) -> None:
    page = open_page()
    fake_stream(page, {"content": "I **do**."})
    ask(page, "Who sings?")
    wait_done(page)
    page.keyboard.press("Alt+n")
    ask(page, "Another one")
    wait_done(page)
    page.reload()
    expect(page.locator("article").first).to_contain_text("Another one")
    page.get_by_role("button", name="Who sings?", exact=True).click()
    expect(answers(page).locator("strong")).to_have_text("do")
    page.locator(".conversation", has_text="Who sings?").hover()
    page.get_by_role("button", name="Rename Who sings?").click()
    page.get_by_role("textbox", name="Name of the conversation").fill("Singers")
    page.keyboard.press("Enter")
    with page.expect_download() as download:
        page.locator(".conversation", has_text="Singers").hover()
        page.get_by_role("button", name="Export Singers").click()
    exported = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert [m["content"] for m in exported["messages"]] == ["Who sings?", "I **do**."]
    assert download.value.suggested_filename == "Singers.json"
    page.get_by_role("button", name="Delete Singers").click()
    expect(page.locator(".conversation")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".conversation")).to_have_count(2)
    page.locator(".conversation", has_text="Another one").hover()
    page.get_by_role("button", name="Delete Another one").click()
    expect(page.locator(".conversation")).to_have_count(1)
    page.reload()
    expect(page.locator(".conversation")).to_have_text("Singers")


@pytest.mark.every_browser
def test_a_reload_keeps_what_was_written(open_page: Opener, server: Server) -> None:
    page = open_page(settings={"max_tokens": 2000})
    ask(page, STORY)
    page.wait_for_function("() => document.querySelector('article.assistant .said').innerText.length > 60")
    wait_kept(page, 60)
    begin = squeeze(answers(page).inner_text())[:40]
    page.reload()
    expect(answers(page)).to_contain_text(begin)
    server.wait_idle()  # a page that has gone frees its work


def test_without_storage(open_page: Opener) -> None:
    page = open_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }});"
        "Object.defineProperty(window, 'indexedDB', {value: undefined});"
    )
    page.reload()
    expect(page.get_by_text("This browser keeps no data")).to_be_visible()
    fake_stream(page, {"content": "Here."})
    ask(page, "Hello?")
    wait_done(page)
    page.get_by_role("button", name="theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_loading_server(open_page: Opener) -> None:
    page = open_page()
    page.route("**/health", lambda route: route.fulfill(status=503, json={"success": False, "error": "loading"}))
    page.reload()
    expect(page.locator("#server")).to_have_text("Server: the model is loading")
    page.unroute("**/health")
    page.locator(".server.healthy").wait_for()


def test_another_window_sees_the_conversation(open_page: Opener) -> None:
    page = open_page()
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("textbox", name="Message").wait_for()
    fake_stream(page, {"content": "Hm."})
    ask(page, "Shared")
    wait_done(page)
    expect(other.get_by_role("button", name="Shared", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "Let me see. "}, {"reasoning_content": "*Yes*."}, {"content": "It is 4."}],
        [{"content": "<thi"}, {"content": "nk>Let me see. *Yes*.</th"}, {"content": "ink>\n\nIt is 4."}],
        [{"content": "Let me see. *Yes*.</think>It is 4."}],
    ],
)
def test_thinking_is_folded_and_not_sent_again(open_page: Opener, deltas: list[dict[str, str]]) -> None:
    page = open_page()
    bodies = fake_stream(page, *deltas)
    ask(page, "2 + 2?")
    wait_done(page)
    thought = page.locator(".thought")
    expect(thought).to_be_hidden()
    assert squeeze(page.locator("article.assistant .said > p").inner_text()) == "It is 4."
    page.get_by_text("Thoughts").click()
    expect(thought).to_have_text("Let me see. Yes.")
    ask(page, "Sure?")
    wait_done(page)
    assert bodies[1]["messages"][2]["content"] == "It is 4."


@pytest.mark.every_browser
def test_the_server_goes_and_returns(open_page: Opener, tmp_path: Path) -> None:
    first = Server(tmp_path / "first").wait_ready()
    page = open_page(url=first.url)
    first.close()
    ask(page, QUESTION)
    expect(page.locator("article .error")).to_have_text("The server cannot be reached.")
    expect(page.locator("#server")).to_have_text("Server: cannot be reached")
    second = Server(tmp_path / "second", "--port", str(first.port))
    try:
        page.locator(".server.healthy").wait_for()
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("article .error")).to_have_count(0)
        page.get_by_role("button", name="Regenerate").wait_for()
        expect(page.locator(".figures")).to_contain_text("tokens")
    finally:
        page.context.close()
        second.close()


def test_errors_are_shown(open_page: Opener) -> None:
    page = open_page(settings={"max_tokens": 99999999})
    ask(page, "Hello")
    expect(page.locator("article .error")).to_contain_text("99999999")
    page.route("**/v1/chat/completions", lambda route: route.fulfill(
        content_type="text/event-stream", body='data: {"choices":[{"delta":{"content":"Half"}}]}\n\n'))  # fmt: skip
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("article .error")).to_have_text("The connection broke before the answer was complete.")
    expect(answers(page)).to_contain_text("Half")


def test_a_server_with_keys(open_page: Opener, tmp_path: Path) -> None:
    guarded = Server(tmp_path / "log", "--api-key", "sesame").wait_ready()
    try:
        page = open_page(url=guarded.url)
        expect(page.locator("#server")).to_have_text("Server: wants an API key")
        ask(page, "Hello")
        expect(page.locator("article .error")).to_contain_text("wants an API key")
        page.get_by_role("button", name="API key").click()
        page.get_by_label("Key that is sent to this server").fill("sesame")
        page.keyboard.press("Enter")
        page.locator(".server.healthy").wait_for()
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("button", name="Regenerate").wait_for()
        page.context.close()
    finally:
        guarded.close()


HOSTILE = """<img src=x onerror="window.broken = 1"> <script>window.broken = 2</script>

[a link](javascript:window.broken=3) [another](JaVaScRiPt:window.broken=4) <javascript:window.broken=5> [data](data:text/html,x)
[entity](java&#115;cript:window.broken=11) [tab](java\tscript:window.broken=12) [vb](vbscript:x) [relative](/stats) [no scheme](//example.org/y)
![inline](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9IndpbmRvdy5icm9rZW49MTMiLz4=) ![local](/assets/icon.svg)

![picture](https://example.org/x.png "t") <a href="https://example.org" onclick="window.broken = 6">x</a>

```"><img src=x onerror=window.broken=7>
<img src=x onerror="window.broken = 8"><style>*{display:none}</style>
```

| <svg onload=window.broken=9> | b |
|---|---|
| <iframe src="javascript:window.broken=10"> | d |
"""


@pytest.mark.every_browser
def test_hostile_text_stays_text(open_page: Opener) -> None:
    page = open_page()
    fake_stream(page, {"content": HOSTILE}, {"reasoning_content": HOSTILE})
    ask(page, HOSTILE)
    wait_done(page)
    page.locator(".conversation").hover()
    page.get_by_role("button", name=re.compile("^Rename")).click()
    page.get_by_role("textbox", name="Name of the conversation").fill(HOSTILE[:90])
    page.keyboard.press("Enter")
    expect(page.locator(".conversation-title")).to_contain_text("<img src=x onerror")
    page.reload()
    expect(page.locator("article.user .plain")).to_contain_text("<script>window.broken = 2</script>")
    expect(answers(page)).to_contain_text("<script>window.broken = 2</script>")
    assert page.locator("main :is(img, script, iframe, style, svg[onload], [onclick], [onerror])").count() == 0
    links = page.locator("article a").evaluate_all("all => all.map((a) => a.getAttribute('href') ?? '')")
    assert set(links) == {"https://example.org/x.png", "https://example.org", ""}  # what a script was in leads nowhere
    assert page.evaluate("window.broken") is None


def test_markdown(open_page: Opener) -> None:
    page = open_page()
    fake_stream(page, {"content": "# Head\n\n- a\n- `b`\n\n```python\ndef f():\n    return 'x'\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"})
    ask(page, "Show")
    wait_done(page)
    said = answers(page)
    expect(said.get_by_role("heading", name="Head")).to_be_visible()
    expect(said.get_by_role("listitem")).to_have_count(2)
    expect(said.locator("pre .hljs-keyword").first).to_have_text("def")
    expect(said.get_by_role("cell")).to_have_count(2)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    said.get_by_role("button", name="Copy code").click()
    expect(said.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "def f():\n    return 'x'\n"
