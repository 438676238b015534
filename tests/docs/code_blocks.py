"""The code blocks of a page, and the commands in them.

A block is indented by four spaces, or fenced and marked `sh`, `python` or `yaml`. A comment `<!-- not run: why -->` before a
block keeps it from being run.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(?:sh|python|yaml)\n(?P<fenced>(?:.*\n)*?)```|(?:^    .*\n(?:\s*\n(?=    ))?)+", re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: [^>]+ -->\s*\Z")
PROGRAMS = {"cllm", "curl", "make", "cat", "echo", "python", "openssl", "install", "promtool"}
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Block:
    text: str
    line: int
    run: bool

    @property
    def kind(self) -> str:
        """What it is: "sh", "python", "gbnf", a file ("NAME.yaml"), or "" (nothing that can be run)."""
        first = self.text.partition("\n")[0]
        if named := re.match(r"# (?:/etc/cllm/)?(\w+\.yaml)\b", first):
            return named.group(1)
        if first.startswith(("from ", "import ")):
            return "python"
        if re.match(r"\w+ +::=", first):
            return "gbnf"
        return "sh" if program(first) in PROGRAMS else ""

    def commands(self) -> Iterator[str]:
        """One after the other; one that ends with a backslash or inside quotes goes on in the next line."""
        command = ""
        for line in self.text.splitlines():
            command += line + "\n"
            if not line.endswith("\\") and is_whole(command):
                if command.strip():
                    yield command.strip()
                command = ""
        assert not command, f"it does not end: {command}"


def is_whole(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


def program(command: str) -> str:
    """The name of what the command's first word runs, without its folder."""
    words = [word for word in command.split() if not ASSIGNMENT.fullmatch(word)]
    return words[0].rpartition("/")[2] if words else ""


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        code = found.group("fenced") or textwrap.dedent(found.group())
        before = text[: found.start()]
        yield Block(code, before.count("\n") + 1, not NOT_RUN.search(before))
