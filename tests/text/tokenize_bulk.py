"""`cllm tokenize` over many texts at once."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kit import SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))


def run(model: Path, lines: Sequence[str], *options: str) -> list[str]:
    command = [str(CLLM), "tokenize", "--model", str(model), *options]
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300 * SLOW, check=False)
    assert done.returncode == 0, done.stderr
    out = done.stdout.split("\n")[:-1]
    assert len(out) == len(lines)
    return out


def encode(model: Path, texts: Sequence[bytes], *options: str) -> list[list[int]]:
    lines = [base64.b64encode(text).decode() for text in texts]
    return [json.loads(line) for line in run(model, lines, *options)]


def decode(model: Path, ids: Sequence[Sequence[int]]) -> list[bytes]:
    lines = [",".join(map(str, row)) for row in ids]
    return [base64.b64decode(line) for line in run(model, lines, "--decode", "--special")]
