#!/usr/bin/env python3
"""Every option of options.def is read by a C file: an option that nothing reads is a lie."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import tree

ENTRY = re.compile(r"^OPT_[A-Z]+\s*\(\s*(\w+)", re.MULTILINE)


def check(root: Path) -> Iterator[str]:
    table = root / "src/cli/options.def"
    names = ENTRY.findall(table.read_text(encoding="utf-8"))
    if not names:
        yield f"{tree.place(root, table)}: no entry found"
    code = "\n".join(p.read_text(encoding="utf-8") for p in tree.c_files(root, "src") if p.suffix == ".c")
    for name in names:
        if not re.search(rf"(?:->|\.){name}\b", code):
            yield f"{tree.place(root, table)}: no C file reads {name}"


if __name__ == "__main__":
    sys.exit(tree.main(check))
