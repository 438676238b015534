"""The book: it builds without a warning, asks no other host, and what is generated in it is up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


def test_links_from_outside_the_book() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
        assert [link for link in links if not (ROOT / link).exists()] == [], name


def test_models_names_what_can_be_run() -> None:
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8").partition("refused")[0]
    table = (ROOT / "src/model/arch.c").read_text(encoding="utf-8").partition("archs[] = {")[2].partition("};")[0]
    archs = set(re.findall(r'^    \{"(\w+)"', table, re.MULTILINE))
    types = set(re.findall(r'\[WEIGHT_\w+\] = \{"(\w+)"', (ROOT / "src/kernels/formats.c").read_text(encoding="utf-8")))
    assert archs and archs == set(re.findall(r"`(\w+)`", text))
    assert types and types <= set(re.findall(r"\w+", text))


def test_the_options_are_up_to_date() -> None:
    run("tools/gen_options.py", "--check")


def test_what_holds_the_api_is_up_to_date() -> None:
    run("tools/api_table.py", "--check")
