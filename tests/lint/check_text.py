#!/usr/bin/env python3
"""No text names a place of somebody's machine or a package host, and none calls itself unfinished."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import tree

SKIPPED_SUFFIXES = {".png", ".gguf", ".bin", ".lock"}
# Written so that this file does not find itself.
PLACES = re.compile(
    r"(?<![\w.])/(?:home|root|Users|wor[k]|far[m])/\w"
    r"|pypi\.or[g]|pythonhosted\.or[g]|registry\.npmjs|deb\.debian\.or[g]|static\.crates\.i[o]|proxy\.golan[g]"
)
UNFINISHED = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b|not yet implemente[d]")


def texts(root: Path) -> Iterator[Path]:
    for path in tree.files(root):
        if path.suffix not in SKIPPED_SUFFIXES and "corpus" not in path.parts:
            yield path


def check(root: Path) -> Iterator[str]:
    for path in texts(root):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if match := PLACES.search(line):
                yield f"{tree.place(root, path, number)}: names a place of a machine or a host: {match.group()}"
            if path.suffix != ".md" and (match := UNFINISHED.search(line)):
                yield f"{tree.place(root, path, number)}: unfinished by its own words: {match.group()}"


if __name__ == "__main__":
    sys.exit(tree.main(check))
