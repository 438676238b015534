#!/usr/bin/env python3
"""Sizes and names: unique file names, 900 lines a file, 100 lines a C function, guards that match the path."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import tree

MAX_LINES = 900
MAX_FUNCTION = 100
SOURCES = {".c", ".h", ".def", ".py", ".sh", ".js", ".css", ".html"}
# The same file names in each, on purpose.
MIRRORED = {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "amx", "neon", "neon_i8mm"}
SHARED_NAMES = {"__init__.py", "conftest.py"}
FUNCTION = re.compile(r"^[A-Za-z_].*\)\s*\{$|^\{$")


def sources(root: Path) -> Iterator[Path]:
    for path in tree.files(root, "src", "tests", "tools", "web", "bench"):
        if path.suffix in SOURCES and "corpus" not in path.parts:
            yield path


def repeated_names(root: Path) -> Iterator[str]:
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in sources(root):
        if path.name not in SHARED_NAMES and path.parent.name not in MIRRORED:
            by_name[path.name].append(path)
    for name, paths in by_name.items():
        if len(paths) > 1:
            yield f"{name} is the name of several files: " + ", ".join(tree.place(root, p) for p in paths)


def long_functions(root: Path, path: Path, lines: list[str]) -> Iterator[str]:
    start = 0
    for number, line in enumerate(lines, 1):
        if not start and FUNCTION.match(line):
            start = number
        elif start and line.startswith("}"):
            if number - start > MAX_FUNCTION:
                yield f"{tree.place(root, path, start)}: a function of {number - start} lines ({MAX_FUNCTION} at most)"
            start = 0


def wrong_guard(root: Path, path: Path, lines: list[str]) -> Iterator[str]:
    guard = "CLLM_" + re.sub(r"[^A-Z0-9]", "_", path.relative_to(root / "src").as_posix().upper())
    if f"#ifndef {guard}" not in lines or f"#define {guard}" not in lines:
        yield f"{tree.place(root, path)}: the include guard is not {guard}"


def check(root: Path) -> Iterator[str]:
    yield from repeated_names(root)
    for path in sources(root):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MAX_LINES:
            yield f"{tree.place(root, path)}: {len(lines)} lines ({MAX_LINES} at most)"
        if path.suffix == ".c":
            yield from long_functions(root, path, lines)
        if path.suffix == ".h" and path.is_relative_to(root / "src"):
            yield from wrong_guard(root, path, lines)


if __name__ == "__main__":
    sys.exit(tree.main(check))
