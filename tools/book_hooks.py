"""What mkdocs.yml calls: the pages are CommonMark, where a list may follow a paragraph without an empty line; and the index of the search
is also a script, which a browser reads from a folder too (docs/book.js)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

LIST_BEHIND_TEXT = re.compile(r"^((?![-\s|]).+\n)(?=- )", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    return LIST_BEHIND_TEXT.sub(r"\1\n", markdown)


@event_priority(-100)  # the index is written by then
def on_post_build(config: Any, **_: Any) -> None:
    folder = Path(config["site_dir"]) / "search"
    index = (folder / "search_index.json").read_text(encoding="utf-8")
    (folder / "search_index.js").write_text(f"window.searchIndex = {index};\n", encoding="utf-8")
