"""What mkdocs.yml calls: the pages are CommonMark, where a list may follow a paragraph without an empty line."""

from __future__ import annotations

import re
from typing import Any

LIST_BEHIND_TEXT = re.compile(r"^((?![-\s|]).+\n)(?=- )", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    return LIST_BEHIND_TEXT.sub(r"\1\n", markdown)
