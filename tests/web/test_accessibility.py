"""For everybody: what axe finds in both themes and all states, what is read out, the keyboard's way, small screens, fingers."""

from __future__ import annotations

import pytest
from page_kit import PHONE, PROSE, VIEWS, Opener, ask, fake_stream, keep, show, talk, violations, wait_done
from playwright.sync_api import Page, expect

SMALL_TARGETS = """() => [...document.querySelectorAll("button, select, summary, .tabs a, input:not([type=range])")]
    .filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.closest("[inert]") && e.type !== "radio")
    .map((e) => [e.ariaLabel || e.textContent || e.id, e.getBoundingClientRect()])
    .filter(([, box]) => box.width && (box.height < 44 || box.width < 40))
    .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
OUTSIDE = """() => [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.closest("pre, .table-scroll, .visually-hidden, .skip"))
    .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
    .map((e) => e.outerHTML.slice(0, 120))"""


def settle(page: Page) -> None:
    """Until nothing moves: what is half faded in has not its colours."""
    page.wait_for_function("() => document.getAnimations().every((a) => a.playState !== 'running')")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(open_page: Opener, theme: str) -> None:
    page = open_page(color_scheme=theme, reduced_motion="reduce")
    assert violations(page) == []  # an empty conversation
    keep(page, talk(20), *[talk(1, f"old {n}") for n in range(6)])
    page.get_by_text("Thoughts").last.click()
    for view in VIEWS:
        show(page, view)
        assert violations(page) == [], view
    show(page, "chat")
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_role("spinbutton", name="Top p").fill("7")
    page.locator("article").last.get_by_role("button", name="Edit message").click()
    assert violations(page) == [], "settings, an edited message"
    page.locator(".conversation").first.hover()
    page.get_by_role("button", name="Rename").first.click()
    assert violations(page) == [], "renaming"
    page.keyboard.press("Escape")
    page.locator(".conversation").last.hover()
    page.get_by_role("button", name="Delete").last.click()
    page.get_by_role("searchbox").fill("none has this")
    assert violations(page) == [], "a toast, a search in vain"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(status=429, json={"error": {"message": "full"}}))
    ask(page, "Hello")
    wait_done(page)
    assert violations(page) == [], "an error"
    for name in ("Keyboard shortcuts", "API key"):
        page.get_by_role("button", name=name).click()
        assert violations(page) == [], name
        page.keyboard.press("Escape")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_a_phone(open_page: Opener, theme: str) -> None:
    page = open_page(color_scheme=theme, reduced_motion="reduce", **PHONE)
    keep(page, talk(3))
    for view in VIEWS:
        show(page, view)
        assert violations(page) == [], view
    show(page, "chat")
    for name in ("Conversations", "Settings"):
        page.get_by_role("button", name=name, exact=True).click()
        assert violations(page) == [], name
        page.keyboard.press("Escape")


def test_an_answer_is_read_out_once(open_page: Opener) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            window.said = [];
            const live = (node) => node.parentElement?.closest("[aria-live], [role=status], [role=alert], [role=log]");
            new MutationObserver((all) => all.forEach(({target, addedNodes}) => {
                const box = live(addedNodes[0] ?? target);
                if (box && box.ariaLive !== "off" && box.textContent) window.said.push(box.textContent);
            })).observe(document.body, {subtree: true, childList: true, characterData: true});
        }"""
    )
    fake_stream(page, {"reasoning_content": "Hm. "}, *[{"content": f"word{n} "} for n in range(50)])
    ask(page, "Hello")
    wait_done(page)
    said = page.evaluate("window.said")
    assert [text.split()[0] for text in said] == ["The", "word0"], said
    assert said[1].split() == [f"word{n}" for n in range(50)]  # what it thought stays folded
    page.route("**/v1/chat/completions", lambda route: route.fulfill(status=500, json={"error": {"message": "broken"}}))
    ask(page, "Again")
    wait_done(page)
    assert page.evaluate("window.said")[-1] == "broken"


def test_panels_take_and_return_the_focus(open_page: Opener) -> None:
    page = open_page()
    focused = page.locator(":focus")
    page.get_by_role("button", name="Settings", exact=True).press("Enter")
    expect(focused).to_have_attribute("aria-label", "Close settings")
    page.keyboard.press("Tab")
    expect(focused).to_have_id("setting-system")
    page.keyboard.press("Escape")
    expect(focused).to_have_attribute("aria-label", "Settings")
    keep(page, talk(1, "a", "Aa"), talk(2, "b", "Bb"))
    page.get_by_role("button", name="Aa", exact=True).focus()
    page.keyboard.press("Tab")
    expect(focused).to_have_attribute("aria-label", "Rename Aa")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # deletes it
    expect(focused).to_have_text("Bb")


def test_focus_is_seen(open_page: Opener) -> None:
    page = open_page()
    keep(page, talk(1))
    page.get_by_role("button", name="Settings", exact=True).click()
    for view in VIEWS:
        show(page, view)
        page.locator(".skip").focus()
        seen: set[str] = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            name, ring = page.evaluate(
                """() => {
                    const e = document.activeElement;
                    const rings = [e, e.parentElement].map((one) => getComputedStyle(one));
                    const label = e.type === "radio" ? getComputedStyle(e.closest("label")) : rings[0];
                    return [e.outerHTML, [...rings, label].some((s) => s.outlineStyle !== "none" && s.outlineWidth !== "0px")];
                }"""
            )
            if name.startswith("<body") or name in seen:
                break
            seen.add(name)
            assert ring, name
        assert len(seen) > 5


def test_nothing_moves_for_who_wants_it_so(open_page: Opener) -> None:
    page = open_page(reduced_motion="reduce")
    page.route("**/v1/chat/completions", lambda route: None)  # never answered
    ask(page, "Hello")
    page.get_by_text("Waiting for the first token").wait_for()
    assert page.evaluate("document.getAnimations().length") == 0
    page.keyboard.press("Escape")
    wait_done(page)


@pytest.mark.every_browser
def test_narrow_windows(open_page: Opener) -> None:
    page = open_page(viewport={"width": 360, "height": 640})
    keep(page, talk(3))
    for view in VIEWS:
        show(page, view)
        settle(page)
        assert page.evaluate(OUTSIDE) == [], view


@pytest.mark.parametrize("width", [360, 768])
def test_small_screens(open_page: Opener, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True)
    keep(page, talk(3))
    fake_stream(page, {"content": f"{'a' * 300} {PROSE}"})
    message = page.get_by_role("textbox", name="Message", exact=True)
    message.fill("b" * 300)
    message.press("Enter")  # a new line: its keyboard has no other way to one
    expect(message).to_have_value("b" * 300 + "\n")
    page.get_by_role("button", name="Send").tap()
    wait_done(page)
    for view in VIEWS:
        show(page, view)
        settle(page)
        assert page.evaluate(OUTSIDE) == [], view
        assert page.evaluate(SMALL_TARGETS) == [], view
    show(page, "chat")
    assert page.locator("article pre").last.evaluate("e => e.scrollWidth > e.clientWidth")  # long code scrolls in its box
    page.get_by_role("button", name="Settings", exact=True).tap()
    settle(page)
    assert page.evaluate(OUTSIDE) == [] and page.evaluate(SMALL_TARGETS) == []
    page.get_by_role("button", name="Close settings").tap()
    page.set_viewport_size({"width": width, "height": 300})  # what a keyboard leaves
    expect(message).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)


def test_the_list_on_a_phone(open_page: Opener) -> None:
    page = open_page(**PHONE)
    keep(page, talk(1))
    sidebar = page.locator(".sidebar")
    page.get_by_role("button", name="Conversations").tap()
    expect(page.locator(":focus")).to_have_text("New conversation")
    settle(page)
    assert page.evaluate(OUTSIDE) == [] and page.evaluate(SMALL_TARGETS) == []
    page.touchscreen.tap(350, 400)  # beside it
    expect(sidebar).to_be_hidden()
    page.get_by_role("button", name="Conversations").tap()
    page.get_by_role("button", name="New conversation").tap()
    expect(sidebar).to_be_hidden()
    expect(page.get_by_text("What shall it be?")).to_be_visible()
    expect(page.get_by_role("textbox", name="Message", exact=True)).not_to_be_focused()  # that would bring up the keyboard
