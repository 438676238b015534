#!/usr/bin/env python3
"""Write the table of the server's options in docs/server.md, from src/cli/options.def.

    tools/gen_options.py            # writes it
    tools/gen_options.py --check    # says whether it is up to date

An entry of options.def happens to be a Python call (names, numbers, strings, `|`), so Python's own parser reads it.
Standard library only.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = ROOT / "src/cli/options.def"
GROUPS = ROOT / "src/cli/options.h"
PAGE = ROOT / "docs/server.md"
BEGIN, END = "<!-- made by tools/gen_options.py -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Option:
    field: str
    commands: frozenset[str]
    section: str | None
    key: str | None
    default: str
    values: str
    help: str


def groups() -> dict[str, frozenset[str]]:
    """COMMAND_ANY and the like: what they stand for."""
    text = GROUPS.read_text(encoding="utf-8")
    found = re.findall(r"^\s+(COMMAND_\w+) = (COMMAND_\w+(?: \| COMMAND_\w+)*),", text, re.MULTILINE)
    return {name: frozenset(value.split(" | ")) for name, value in found}


def commands_of(node: ast.expr, known: dict[str, frozenset[str]]) -> frozenset[str]:
    names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]
    return frozenset().union(*(known.get(name, frozenset([name])) for name in names))


def text_of(node: ast.expr) -> str:
    return ast.unparse(node) if not isinstance(node, ast.Constant) else "" if node.value is None else str(node.value)


def option_of(call: ast.Call, known: dict[str, frozenset[str]]) -> Option:
    assert isinstance(call.func, ast.Name)
    kind = call.func.id.removeprefix("OPT_")
    field, commands, section, key, _short, *rest = call.args
    words = [text_of(node) for node in rest]
    default, values = "", ""
    if kind == "FLAG":
        default, values = "false", "true, false"
    elif kind == "CHOICE":
        default, values = words[1], words[2].replace("|", ", ")
    elif kind in ("INT", "REAL"):
        default, values = words[1], f"{words[2]} to {words[3]}"
    elif kind in ("STR", "LIST"):
        default, values = words[1], words[0]
    else:
        raise ValueError(f"{OPTIONS.name}: unknown kind OPT_{kind}")
    names = [text_of(node).replace("NULL", "") or None for node in (section, key)]
    return Option(text_of(field), commands_of(commands, known), *names, default, values, words[-1])


def options() -> Iterator[Option]:
    known = groups()
    text = re.sub(r"^//.*$", "", OPTIONS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for statement in ast.parse(text).body:
        assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
        yield option_of(statement.value, known)


def table() -> str:
    lines = ["| option | key of the file | default | values | what |", "|---|---|---|---|---|"]
    for one in options():
        if not one.commands & {"COMMAND_SERVE", "COMMAND_EVERY"}:
            continue
        flag = "--" + one.field.replace("_", "-")
        key = f"`{one.section}.{one.key}`" if one.section else "–"
        default = f"`{one.default}`" if one.default else ""
        lines.append(f"| `{flag}` | {key} | {default} | {one.values} | {one.help.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page as it should be."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the table is not up to date")
    args = parser.parse_args(argv)
    wanted = page()
    if args.check:
        return int(PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
