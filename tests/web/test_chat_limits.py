"""The chat at its limits: long texts, long conversations, full storage, full queues, other windows, foreign files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from kit import Server
from page_kit import Opener, answers, ask, fake_stream, keep, talk, wait_done
from playwright.sync_api import Page, Route, expect

FULL = """
    IDBObjectStore.prototype.put = function () { throw new DOMException("full", "QuotaExceededError"); };
    Storage.prototype.setItem = function () { throw new DOMException("full", "QuotaExceededError"); };
"""


def other_window(page: Page) -> Page:
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("textbox", name="Message", exact=True).wait_for()
    return other


def toasts(page: Page, text: str) -> Any:
    return page.locator(".toast", has_text=text)


def choose_file(page: Page, content: str, name: str = "talk.json") -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import").click()
    chooser.value.set_files({"name": name, "mimeType": "application/json", "buffer": content.encode()})


# ---- much


def test_a_long_conversation(open_page: Opener) -> None:
    page = open_page()
    keep(page, talk(250))
    expect(page.locator("article")).to_have_count(500)
    fake_stream(page, *[{"content": f"word{n} "} for n in range(40)])
    page.evaluate(
        """() => {
            window.drawn = new Set();
            new MutationObserver((all) => all.forEach(({target, addedNodes}) => {
                for (const node of [target, ...addedNodes]) drawn.add(node.closest?.("article"));
            })).observe(document.querySelector(".log"), {subtree: true, childList: true});
        }"""
    )
    ask(page, "Hello")
    wait_done(page)
    expect(answers(page).last).to_contain_text("word39")
    page.locator("article").last.get_by_role("button", name="Edit message").click()
    page.keyboard.type("Or so.")
    page.get_by_role("button", name="Save").click()
    drawn = page.evaluate("drawn.delete(null), drawn.delete(undefined), drawn.size")
    assert drawn <= 4  # the answer before (it is the last no more), the question, the answer, and that again, changed
    expect(page.locator("article").last).to_be_in_viewport()


def test_a_prompt_of_200_kilobytes(open_page: Opener, server: Server) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    long = "All work and no play makes a dull page. \n" * 5000
    page.evaluate("(text) => navigator.clipboard.writeText(text)", long)
    page.keyboard.press("Control+v")
    message = page.get_by_role("textbox", name="Message", exact=True)
    assert len(message.input_value()) == len(long)
    expect(page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
    page.keyboard.press("Enter")
    error = page.locator("article .error")
    expect(error).to_contain_text("the context is 8192 tokens")  # and what to do is in its text
    page.get_by_role("button", name="Edit message").first.click()
    page.get_by_role("textbox", name="Edit message").evaluate("(field) => { field.value = 'Short.'; }")
    page.get_by_role("button", name="Send", exact=True).first.click()
    wait_done(page)
    expect(error).to_have_count(0)


def test_a_full_queue(open_page: Opener, tmp_path: Path) -> None:
    busy = Server(tmp_path / "log", "--max-running", "1", "--max-queue", "1").wait_ready()
    page = open_page(url=busy.url)
    load = []
    try:
        for figure in ("running", "waiting"):
            load.append(busy.open("POST", "/v1/completions", {"prompt": "Hello", "max_tokens": 6000, "ignore_eos": True}))
            busy.wait_stats(**{figure: 1})
        ask(page, "Hello")
        expect(page.locator("article .error")).to_contain_text(re.compile(r"try again in \d+ s"))
        for sock in load:
            sock.close()
        busy.wait_idle()
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".figures")).to_contain_text("tokens")
    finally:
        for sock in load:
            sock.close()
        page.context.close()
        busy.close()


def test_full_storage_is_said_once(open_page: Opener) -> None:
    page = open_page()
    page.add_init_script(FULL)
    page.reload()
    fake_stream(page, {"content": "Here."})
    for text in ("One", "Two"):
        ask(page, text)
        wait_done(page)
    page.locator(".conversation").hover()
    page.get_by_role("button", name="Rename One").click()
    page.keyboard.type("Three")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_label("System prompt").fill("Be brief.")
    expect(answers(page)).to_have_count(2)  # all goes on
    expect(toasts(page, "storage is full")).to_have_count(1)


# ---- windows


def expect_system_prompt(page: Page, text: str) -> None:
    page.get_by_role("button", name="Settings", exact=True).click()
    expect(page.get_by_label("System prompt")).to_have_value(text)


def test_another_window_writes(open_page: Opener) -> None:
    page = open_page()
    keep(page, talk(2))
    other = other_window(page)
    expect(other.locator("article")).to_have_count(4)
    other.get_by_role("button", name="Settings", exact=True).click()
    other.locator("article").first.hover()
    other.locator("article").first.get_by_role("button", name="Edit message").click()
    edited = other.get_by_role("textbox", name="Edit message")
    edited.fill("Not yet sent")
    held: list[Route] = []
    page.route("**/v1/chat/completions", lambda route: held.append(route))
    ask(page, "From here")
    expect(other.locator("article")).to_have_count(6)
    expect(edited).to_have_value("Not yet sent")  # what is being changed there stays
    page.wait_for_timeout(3500)  # a model that loads says nothing for long
    other.get_by_role("textbox", name="Message", exact=True).fill("From there")
    other.keyboard.press("Enter")
    expect(toasts(other, "Another window is writing")).to_be_visible()
    other.get_by_label("System prompt").fill("Be brief.")  # may be changed meanwhile
    held[0].fulfill(content_type="text/event-stream", body='data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n')
    wait_done(page)
    expect(answers(other).last).to_have_text("Hi")
    bodies = fake_stream(other, {"content": "Ho"})
    other.get_by_role("textbox", name="Message", exact=True).press("Enter")
    wait_done(other)
    texts = [message["content"] for message in bodies[0]["messages"]]
    assert texts[0] == "Be brief." and texts[-3:] == ["From here", "Hi", "From there"]
    expect(answers(page).last).to_have_text("Ho")
    expect_system_prompt(page, "Be brief.")


def test_settings_outlive_a_window_that_has_not_heard_of_them(open_page: Opener) -> None:
    page = open_page()
    keep(page, talk(2))
    other = other_window(page)
    page.add_init_script("delete globalThis.BroadcastChannel")
    page.reload()
    expect(page.locator("article")).to_have_count(4)
    other.get_by_role("button", name="Settings", exact=True).click()
    other.get_by_label("System prompt").fill("Be brief.")
    fake_stream(page, {"content": "Hi"})
    ask(page, "From here")
    wait_done(page)
    other.reload()
    expect(other.locator("article")).to_have_count(6)
    expect_system_prompt(other, "Be brief.")


def test_another_window_deletes(open_page: Opener) -> None:
    page = open_page()
    keep(page, talk(1))
    other = other_window(page)
    page.route("**/v1/chat/completions", lambda route: None)
    ask(page, "Hello")
    other.locator(".conversation").hover()
    other.get_by_role("button", name="Delete").click()
    expect(page.locator(".conversation")).to_have_count(0)
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    page.wait_for_timeout(1500)  # its answer is not kept any more
    page.reload()
    expect(page.locator(".conversation")).to_have_count(0)


def test_renaming_survives_an_answer(open_page: Opener) -> None:
    page = open_page()
    held: list[Route] = []
    page.route("**/v1/chat/completions", lambda route: held.append(route))
    ask(page, "Hello")
    page.locator(".conversation").hover()
    page.get_by_role("button", name="Rename Hello").click()
    page.keyboard.type("Greet")
    held[0].fulfill(content_type="text/event-stream", body='data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n')
    wait_done(page)
    page.keyboard.type("ing")
    page.keyboard.press("Enter")
    expect(page.locator(".conversation-title")).to_have_text("Greeting")


# ---- files


def test_all_conversations_leave_and_return(open_page: Opener) -> None:
    page = open_page()
    keep(page, talk(2, "a", "First"), talk(1, "b", "Second"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Export all").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    fresh = open_page()
    choose_file(fresh, text)
    expect(fresh.locator(".conversation-title")).to_have_text(["First", "Second"])
    expect(fresh.locator("article")).to_have_count(4)
    fresh.reload()
    expect(fresh.locator(".conversation-title")).to_have_text(["First", "Second"])
    with fresh.expect_download() as download:
        fresh.get_by_role("button", name="Export all").click()
    again = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    for one, other in zip(json.loads(text), again, strict=True):
        assert one["id"] != other["id"]  # nothing is replaced
        assert {**one, "id": 0} == {**other, "id": 0}


@pytest.mark.every_browser
def test_messages_of_openais_form_are_imported(open_page: Opener) -> None:
    page = open_page()
    choose_file(page, json.dumps({"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]}))  # fmt: skip
    expect(answers(page)).to_have_text("Hi.")
    expect_system_prompt(page, "Be brief.")


@pytest.mark.parametrize(
    "content",
    ["", "{", "null", "[]", "7", '{"messages": 1}', '{"messages": [null]}', '{"messages": [{"role": "user", "content": [1]}]}',
     '{"messages": [{"role": "tool", "content": "x"}]}', '[{"messages": []}, {}]'],
)  # fmt: skip
def test_other_files_are_refused(open_page: Opener, content: str) -> None:
    page = open_page()
    choose_file(page, content)
    expect(toasts(page, "talk.json")).to_be_visible()
    expect(page.locator(".conversation")).to_have_count(0)


def test_hostile_fields_of_a_file(open_page: Opener) -> None:
    page = open_page()
    bodies = fake_stream(page, {"content": "Yes."})
    message = {"role": "assistant", "content": "x", "reasoning": 5, "error": {"a": 1}, "stats": {"tokens": "<b>", "rate": None, "finish": 3}}
    choose_file(page, json.dumps({
        "id": "../x", "title": {"toString": 1}, "updated": "yesterday", "model": 3, "__proto__": {"polluted": 1},
        "settings": {"temperature": "hot", "system": 4, "stream": False, "top_p": 0.5},
        "messages": [{"role": "user", "content": "Hello"}, message]}))  # fmt: skip
    expect(answers(page)).to_have_text("x")
    ask(page, "More")
    wait_done(page)
    body = bodies[0]
    assert (body["temperature"], body["top_p"], body["stream"]) == (0.7, 0.5, True)
    assert page.evaluate("({}).polluted") is None


def test_search(open_page: Opener) -> None:
    page = open_page()
    talks = [talk(1, f"{n}", f"Title {n}") for n in range(6)]
    talks[3]["messages"][1]["content"] = "There are HERRINGS in it."
    keep(page, *talks[:5])
    search = page.get_by_role("searchbox", name="Search conversations")
    expect(search).to_be_hidden()  # so few are seen at a glance
    keep(page, *talks)
    search.fill("herring")
    expect(page.locator(".conversation-title")).to_have_text(["Title 3"])
    search.fill("title 5")
    expect(page.locator(".conversation-title")).to_have_text(["Title 5"])
    search.fill("nobody")
    expect(page.locator(".conversation")).to_have_count(0)
    expect(page.get_by_text("None has these words.")).to_be_visible()
    search.fill("")
    expect(page.locator(".conversation")).to_have_count(6)


# ---- signs


def test_directions_stay_within_their_text(open_page: Opener) -> None:
    page = open_page()
    turned = "\u202eabc"  # shows what follows from right to left, unless something ends it
    kept = talk(1, "a", turned)
    kept["messages"][0]["content"] = "שלום, עולם"
    kept["messages"][1]["content"] = f"שלום\n\nplain\n\n```c\nint x; /* \u202e }} */\n```\n{turned}"
    keep(page, kept)
    said = answers(page)
    edges = said.evaluate(
        """(said) => [...said.querySelectorAll(":scope > p")].slice(0, 2).map((p) => {
            const range = document.createRange();
            range.selectNodeContents(p);
            const [text, box] = [range.getBoundingClientRect(), p.getBoundingClientRect()];
            return [text.left - box.left < 2, box.right - text.right < 2];
        })"""
    )
    assert edges == [[False, True], [True, False]]  # each paragraph begins on its own side
    expect(said.locator(".code-head")).to_contain_text("c, with signs that change the order of what is shown")
    page.locator(".conversation").hover()
    page.get_by_role("button", name="Delete").click()
    text = page.locator(".toast span").text_content() or ""
    assert text.index("\u2068") < text.index(turned) < text.index("\u2069") < text.index("was deleted")
