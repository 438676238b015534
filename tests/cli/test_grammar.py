"""`cllm grammar`: which texts fit, and random ones that do."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from kit import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
CLLM = os.environ.get("CLLM_BIN", str(ROOT / "build/release/cllm"))


def grammar(*args: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([CLLM, "grammar", *args], input=text, capture_output=True, text=True, timeout=PATIENCE_S)


def test_lines() -> None:
    done = grammar("--regex", "[a-c]{2,3}", text="ab\nabcd\na\n\u00e9\n")
    assert done.returncode == 0
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["yes", "no", "so far", "no"]


def test_gbnf_file(tmp_path: Path) -> None:
    file = tmp_path / "g.gbnf"
    file.write_text('root ::= "a" root | "b"\n')
    assert grammar("--gbnf", str(file), text="aab\n").stdout == "yes\taab\n"
    file.write_text("root ::= (")
    done = grammar("--gbnf", str(file))
    assert done.returncode == 1 and "line 1, column 10" in done.stderr


def test_samples(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text('{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}')
    done = grammar("--schema", str(file), "--samples", "8", "--seed", "3")
    texts = done.stdout.splitlines()
    assert len(texts) >= 8 and done.stdout == grammar("--schema", str(file), "--samples", "8", "--seed", "3").stdout
    one = grammar("--regex", "[xyz]{5}", "--samples", "1").stdout
    assert re.fullmatch("[xyz]{5}\n", one)


def test_schema_errors(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text('{"properties": {"a": {"not": {}}}}')
    assert "#/properties/a/not" in grammar("--schema", str(file)).stderr
    file.write_text("{")
    assert f"{file}, line 1" in grammar("--schema", str(file)).stderr
    assert "cannot open" in grammar("--gbnf", str(tmp_path / "none")).stderr


def test_batch() -> None:
    lines = [{"regex": "a+", "texts": ["aa", "b"]}, {"gbnf": "x"}, {"other": 1}]
    done = grammar("--batch", text="".join(json.dumps(line) + "\n" for line in lines) + "no JSON\n")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[0] == {"ok": True, "fits": ["yes", "no"], "samples": []}
    assert [answer["ok"] for answer in answers[1:]] == [False, False, False]


def test_usage() -> None:
    assert grammar().returncode == 2
    assert grammar("--batch", "--regex", "a").returncode == 2
