"""The book: it builds without a warning, asks no other host, and what is generated in it is up to date."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lint"))

from tree import files  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = {"width": 390, "height": 844}


def run(*command: str) -> str:
    made = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    run("-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder))
    return folder


def test_it_has_every_page(book: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in book.glob("*.html")}


def test_it_asks_no_other_host(book: Path) -> None:
    for page in book.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'(?:<script[^>]* src|<link[^>]*stylesheet[^>]* href|<img[^>]* src)="https?:[^"]*"', text), page


def test_markdown_became_markup(book: Path) -> None:
    """What one Markdown takes for a table or a list is plain text to another."""
    for page in book.glob("*.html"):
        text = re.sub(r"<pre>.*?</pre>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.findall(r"^(?:<p>)?\|.*\|$|^(?:<p>)?- .*|^\|?:?--+:?\|.*", text, re.MULTILINE), page


def test_links_from_outside_the_book(book: Path) -> None:
    """mkdocs checks those inside it."""
    pages = [path for path in files(ROOT) if path.suffix == ".md" and ROOT / "docs" not in path.parents]
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {page.name for page in pages}
    for page in pages:
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
            target = page.parent / path if path else page
            assert target.exists(), f"{page}: {path}"
            if anchor:
                made = (book / target.relative_to(ROOT / "docs")).with_suffix(".html").read_text(encoding="utf-8")
                assert f'id="{anchor}"' in made, f"{page}: {path}#{anchor}"


def test_pages_that_are_named_exist() -> None:
    """In comments, messages and files of configuration."""
    named = {}
    folders = files(ROOT, "src", "include", "tools", "packaging", "dashboards", "examples", "bench", "web")
    for path in [*folders, ROOT / "Makefile", ROOT / "mkdocs.yml", ROOT / "README.md"]:
        text = path.read_bytes().decode("utf-8", "replace")
        named |= {name: path for name in re.findall(r"(?<![\w./])docs/[\w./-]+\.(?:md|css|js|png)", text)}
    assert len(named) > 10 and {name: path for name, path in named.items() if not (ROOT / name).exists()} == {}


@pytest.fixture(scope="module")
def page(book: Path) -> Iterator[Page]:
    if not CHROMIUM:
        pytest.skip("there is no Chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport=PHONE)
        browser.close()


def test_nothing_is_wider_than_a_phone(book: Path, page: Page) -> None:
    """Tables and code scroll in themselves; images say what they show."""
    for path in sorted(book.glob("*.html")):
        page.goto(path.as_uri())
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"], path.name
        assert page.evaluate("() => [...document.images].filter((image) => !image.alt).map((image) => image.src)") == [], path.name


def test_the_search_works_from_a_folder(book: Path, page: Page) -> None:
    page.goto((book / "search.html").as_uri() + "?q=preemption")
    page.locator("#mkdocs-search-results a", has_text="A step has no phases").first.click()
    assert page.url.endswith("/architecture.html#a-step-has-no-phases")


def test_code_can_be_copied(book: Path, page: Page) -> None:
    page.add_init_script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.goto((book / "quick-start.html").as_uri())
    page.locator("pre", has_text="make serve").locator("button").click()
    page.locator("pre button", has_text="Copied").wait_for()
    assert page.evaluate("window.copied").strip() == "make serve"


LUMINANCES = """() => {
  const luminance = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (e) => { const b = getComputedStyle(e).backgroundColor; return b === "rgba(0, 0, 0, 0)" ? background(e.parentElement) : b; };
  return [...document.querySelectorAll(".rst-content *, .wy-menu-vertical a")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.offsetParent)
    .map((e) => [e.tagName + ": " + e.textContent.slice(0, 40), luminance(getComputedStyle(e).color), luminance(background(e))]);
}"""


@pytest.mark.parametrize("name", ["index", "sizing", "quick-start"])
def test_it_can_be_read_in_the_dark(book: Path, page: Page, name: str) -> None:
    """Contrasts as WCAG counts them."""
    page.emulate_media(color_scheme="dark")
    page.goto((book / f"{name}.html").as_uri())
    found = page.evaluate(LUMINANCES)
    page.emulate_media(color_scheme="light")
    assert len(found) > 20
    contrasts = {text: (max(a, b) + 0.05) / (min(a, b) + 0.05) for text, a, b in found}
    assert {text: value for text, value in contrasts.items() if value < 4.5} == {}
    assert all(background < 0.1 for _, _, background in found)


def test_models_names_what_can_be_run() -> None:
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8").partition("refused")[0]
    table = (ROOT / "src/model/arch.c").read_text(encoding="utf-8").partition("archs[] = {")[2].partition("};")[0]
    archs = set(re.findall(r'\.name = "(\w+)"', table))
    types = set(re.findall(r'\[WEIGHT_\w+\] = \{"(\w+)"', (ROOT / "src/kernels/formats.c").read_text(encoding="utf-8")))
    assert archs and archs == set(re.findall(r"`(\w+)`", text))
    assert types and types <= set(re.findall(r"\w+", text))


def test_what_others_words_are_here() -> None:
    """The last column of the table for those who come from elsewhere names options and routes that there are."""
    rows = [line for line in (ROOT / "docs/coming-from.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "`" in line]
    told = " ".join(row.strip("|").rpartition(" | ")[2] for row in rows)
    options = (ROOT / "src/cli/options.def").read_text(encoding="utf-8")
    known = {name.replace("_", "-") for name in re.findall(r"^OPT_\w+ *\((\w+)", options, re.MULTILINE)}
    named = set(re.findall(r"--([a-z][\w-]*)", told))
    assert len(named) > 15 and named <= known
    routes = (ROOT / "src/server/routes.c").read_text(encoding="utf-8")
    assert [path for path in re.findall(r"`(/[\w/-]+)`", told) if f'"{path}"' not in routes] == []


def test_the_options_are_up_to_date() -> None:
    run("tools/gen_options.py", "--check")


def test_what_holds_the_api_is_up_to_date() -> None:
    run("tools/api_table.py", "--check")
