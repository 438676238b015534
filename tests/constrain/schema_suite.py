"""The public JSON schema test suite (draft 2020-12) through `cllm grammar`, and the table of what came of it.

    python tests/constrain/schema_suite.py --write     # the table in docs/structured-output.md

The suite comes in the source package of jsonschema, which tools/setup.sh fetches.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
SUITE = "/json/tests/draft2020-12/"
DOCUMENT = ROOT / "docs/structured-output.md"
BEGIN, END = "<!-- made by tests/constrain/schema_suite.py -->\n", "<!-- end -->\n"
N_SAMPLES = 4


@dataclass
class Group:
    """One schema of the suite with its values."""

    topic: str
    schema: Any
    description: str
    tests: list[dict[str, Any]]
    answer: dict[str, Any] = field(default_factory=dict)

    def fits(self) -> Iterator[tuple[dict[str, Any], bool]]:
        """Each value, and whether it was accepted."""
        for test, fit in zip(self.tests, self.answer.get("fits", []), strict=True):
            yield test, fit == "yes"


def package() -> Path:
    found = sorted((ROOT / ".venv/schema-tests").glob("jsonschema-*.tar.gz"))
    if not found:
        raise FileNotFoundError("the JSON schema test suite is missing: run tools/setup.sh tests")
    return found[-1]


def wanted(topic: str) -> bool:
    return "/" not in topic or topic.startswith("optional/format/")


def read_suite() -> list[Group]:
    groups = []
    with tarfile.open(package()) as archive:
        for member in sorted(archive.getnames()):
            topic = member.partition(SUITE)[2].removesuffix(".json")
            if not member.endswith(".json") or not topic or not wanted(topic):
                continue
            stream = archive.extractfile(member)
            assert stream
            groups += [Group(topic, g["schema"], g["description"], g["tests"]) for g in json.load(stream)]
    return groups


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def ask(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers of `cllm grammar --batch`."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([str(CLLM), "grammar", "--batch"], input=text.encode(), capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def judge(groups: list[Group]) -> None:
    lines = [{"schema": g.schema, "texts": [compact(t["data"]) for t in g.tests], "samples": N_SAMPLES, "seed": 1} for g in groups]
    for group, answer in zip(groups, ask(lines), strict=True):
        group.answer = answer


@dataclass
class Row:
    understood: int = 0
    refused: int = 0
    valid: int = 0
    accepted: int = 0
    wrong: int = 0

    def add(self, group: Group) -> None:
        if not group.answer["ok"]:
            self.refused += 1
            return
        self.understood += 1
        for test, fits in group.fits():
            self.valid += test["valid"]
            self.accepted += test["valid"] and fits
            self.wrong += fits and not test["valid"]


def table(groups: list[Group]) -> str:
    rows: dict[str, Row] = {}
    for group in groups:
        rows.setdefault(group.topic.removeprefix("optional/"), Row()).add(group)
    total = Row()
    for group in groups:
        total.add(group)
    rows["all"] = total
    lines = ["| topic | schemas understood | refused | their valid values that are accepted | invalid ones |", "|---|---:|---:|---:|---:|"]
    for topic, row in rows.items():
        lines.append(f"| {topic} | {row.understood} | {row.refused} | {row.accepted} of {row.valid} | {row.wrong} |")
    return "\n".join(lines) + "\n"


def document_parts() -> tuple[str, str, str]:
    """What stands before the table, the table, and what stands behind it."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    made, _, behind = rest.partition(END)
    return before, made, behind


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    parser.add_argument("--refused", action="store_true", help="list what was refused, and why")
    args = parser.parse_args(argv)
    groups = read_suite()
    judge(groups)
    if args.refused:
        for group in groups:
            if not group.answer["ok"]:
                print(f"{group.topic}: {group.description}: {group.answer['error']}")
    made = table(groups)
    if args.write:
        before, _, behind = document_parts()
        DOCUMENT.write_text(before + BEGIN + made + END + behind, encoding="utf-8")
    else:
        print(made, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
