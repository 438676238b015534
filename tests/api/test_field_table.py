"""The table of fields in docs/api.md: what it gives as defaults is what silent requests get, and its bounds are the server's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from kit import Server

PAGE = (Path(__file__).resolve().parents[2] / "docs/api.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Fields that generating routes share\n")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in SECTION.splitlines() if line.startswith("| `")]
PENALISED = "Write the word hello: hello, hello, hello,"
NUMBER = r"-?\d+(?:\.\d+)?"


def defaults(column: int) -> dict[str, float]:
    """The numbers of a column, under the names that it gives where it gives one."""
    found = {}
    for row in ROWS:
        names = re.findall(r"`(\w+)`", row[0])
        if told := re.fullmatch(rf"(?:`(\w+)`: )?({NUMBER})", row[column]):
            found |= {told[1] or name: float(told[2]) for name in names}
    return {name: int(value) if value == int(value) else value for name, value in found.items()}


@pytest.mark.parametrize(("column", "path"), [(1, "/v1/completions"), (2, "/generate"), (3, "/api/generate")])
def test_defaults(server: Server, column: int, path: str) -> None:
    table = {name: value for name, value in defaults(column).items() if name not in ("min_tokens", "max_tokens", "priority")}
    assert len(table) == 7 and ("repeat_penalty" in table) == (column == 3)

    def ask(more: dict[str, Any]) -> str:
        if column == 3:
            options = {"num_predict": 24, "seed": 11} | more
            return server.post(path, {"prompt": PENALISED, "raw": True, "stream": False, "options": options}).json["response"]
        reply = server.post(path, {"prompt": PENALISED, "max_tokens": 24, "seed": 11} | more)
        return reply.json["choices"][0]["text"] if column == 1 else reply.data["text"]

    assert ask({}) == ask(table)
    assert ask({}) != ask(table | {"top_k": 1})  # else nothing would differ anyway


def test_the_native_length(server: Server) -> None:
    reply = server.post("/generate", {"prompt": PENALISED, "ignore_eos": True}).data
    assert reply["generated_tokens"] == defaults(2)["max_tokens"]


def test_bounds(server: Server) -> None:
    checked = 0
    for row in ROWS:
        if not (told := re.match(rf"(above )?({NUMBER}) to (\d[\d,]*)", row[4])):
            continue
        low, high = float(told[2]), float(told[3].replace(",", ""))
        for name in re.findall(r"`(\w+)`", row[0]):
            for value, fits in ((high, True), (high + 1, False), (low, not told[1]), (low - 1, False)):
                number = int(value) if value == int(value) else value
                reply = server.post("/v1/completions", {"prompt": "x", "max_tokens": 1, name: number})
                assert (reply.status in (200, 408)) == fits, (name, number, reply.body)
                checked += 1
    assert checked >= 32
