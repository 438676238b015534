#!/usr/bin/env python3
"""Write docs/api-coverage.md: what the API is held to, and by which tests, from tests/api/coverage.toml.

    tools/api_table.py            # writes it
    tools/api_table.py --check    # says whether it is up to date, names only tests that exist, and misses no route

Standard library only.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests/api"
TABLE = TESTS / "coverage.toml"
ROUTES = ROOT / "src/server/routes.c"
PAGE = ROOT / "docs/api-coverage.md"
HEAD = """# What holds the API to that

What clients may rely on, and the tests that fail when it is not so (in `tests/api`; `make test` runs them all). Made by
`tools/api_table.py` from `tests/api/coverage.toml`.
"""


@dataclass(frozen=True)
class Row:
    section: str
    what: str
    routes: str
    tests: list[str]


def rows() -> Iterator[Row]:
    for section, content in tomllib.loads(TABLE.read_text(encoding="utf-8")).items():
        for what, routes, tests in content["rows"]:
            yield Row(section, what, routes, tests)


def page() -> str:
    lines, section = [HEAD], ""
    for row in rows():
        if row.section != section:
            section = row.section
            lines.append(f"\n## {section}\n\n| what | routes | tests |\n|---|---|---|\n")
        tests = ", ".join(f"`{one.replace('.py::', '::')}`" for one in row.tests) or "**no test**"
        lines.append(f"| {row.what} | {row.routes} | {tests} |\n")
    return "".join(lines)


def existing_tests() -> set[str]:
    found = set()
    for path in TESTS.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.add(f"{path.name}::{node.name}")
    return found


def problems() -> Iterator[str]:
    known = existing_tests()
    yield from sorted({f"no such test: {name}" for row in rows() for name in row.tests if name not in known})
    held = {route for row in rows() if row.tests for route in re.findall(r"`(/[^` ]*)`", row.routes)}
    routes = re.findall(r'^\s+\{HTTP_\w+, "([^"]+)"', ROUTES.read_text(encoding="utf-8"), re.MULTILINE)
    yield from (f"no row for {route}" for route in routes if route not in held)
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        yield f"{PAGE.relative_to(ROOT)} is not up to date: run tools/api_table.py"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if something is wrong")
    args = parser.parse_args(argv)
    if not args.check:
        PAGE.write_text(page(), encoding="utf-8")
    found = list(problems())
    for line in found:
        print(line, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
