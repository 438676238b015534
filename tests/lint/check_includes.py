#!/usr/bin/env python3
"""Every `#include "folder/file.h"` obeys the table of what may depend on what, exists, and closes no circle."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import tree

# docs/architecture.md draws this. The command line may include everything.
ALLOWED: dict[str, set[str]] = {
    "base": set(),
    "kernels": {"base"},
    "gguf": {"base"},
    "model": {"base", "kernels", "gguf"},
    "engine": {"base", "kernels", "model"},
    "text": {"base", "gguf"},
    "chat": {"base", "gguf", "text"},
    "constrain": {"base", "gguf", "text"},
    "library": {"base", "gguf"},
    "server": {"base", "gguf", "text", "chat", "constrain", "engine", "model"},
    "api": {"base", "gguf", "text", "chat", "engine", "model", "server"},
}
# Single headers beyond the table.
EXCEPTIONS = {("constrain", "engine/constraint.h")}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def includes(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match.group(1)


def resolve(src: Path, path: Path, name: str) -> Path | None:
    """The included file: by its path from src/, or beside the including one."""
    return next((p for p in (src / name, path.parent / name) if p.is_file()), None)


def forbidden(src: Path, path: Path, target: Path) -> bool:
    own, other = path.relative_to(src).parts[0], target.relative_to(src).parts[0]
    allowed = own in (other, "cli") or other in ALLOWED.get(own, set())
    return not allowed and (own, target.relative_to(src).as_posix()) not in EXCEPTIONS


def circles(graph: dict[Path, list[Path]]) -> Iterator[list[Path]]:
    """Each circle that a depth-first walk closes."""
    done: set[Path] = set()
    for start in graph:
        trail: list[Path] = []
        stack: list[tuple[Path, bool]] = [(start, False)]
        while stack:
            node, leaving = stack.pop()
            if leaving:
                trail.pop()
                done.add(node)
            elif node in trail:
                yield [*trail[trail.index(node) :], node]
            elif node not in done:
                trail.append(node)
                stack.append((node, True))
                stack.extend((other, False) for other in graph.get(node, []))


def check(root: Path) -> Iterator[str]:
    src = root / "src"
    graph: dict[Path, list[Path]] = {}
    for path in tree.c_files(root, "src"):
        graph[path] = []
        for line, name in includes(path):
            target = resolve(src, path, name)
            if target is None:
                yield f'{tree.place(root, path, line)}: "{name}" does not exist'
                continue
            graph[path].append(target)
            if forbidden(src, path, target):
                yield f"{tree.place(root, path, line)}: {path.relative_to(src).parts[0]} may not include {name}"
    for circle in circles(graph):
        yield "circle of includes: " + " -> ".join(tree.place(root, p) for p in circle)


if __name__ == "__main__":
    sys.exit(tree.main(check))
