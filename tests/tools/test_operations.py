"""What docs/operations.md promises: its options exist, the systemd unit is sound, the attacks run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
UNIT = ROOT / "packaging/systemd/cllm.service"


def run(*command: str) -> str:
    made = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout + made.stderr


def test_options_exist() -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", run(str(CLLM), "serve", "--help")))
    for path in ("docs/operations.md", "docs/api.md", "packaging/systemd/cllm.service"):
        text = (ROOT / path).read_text(encoding="utf-8")
        named = set(re.findall(r"`(--[a-z-]+)|cllm serve (--[a-z-]+)", text))
        assert {a or b for a, b in named} - known == set(), path


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_unit(tmp_path: Path) -> None:
    unit = tmp_path / "cllm.service"
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/usr/local/bin/cllm", str(CLLM)), encoding="utf-8")
    assert run("systemd-analyze", "verify", str(unit)) == ""


def test_attacks_run() -> None:
    out = run(sys.executable, "tools/attack.py", "--bin", str(CLLM), "--seconds", "0.5", "--only", "noise")
    assert re.search(r"\| noise, 16 at once \| 400 × [\d,]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \| \d+ / \d+ / \d+ \|", out), out
