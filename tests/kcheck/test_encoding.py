"""What the compiler made of the kernels: each folder keeps to the instructions of its rung."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm")).parent / "src/kernels"
INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t((?:[0-9a-f]{2} )+)\s*\t(.*)$", re.MULTILINE)

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="of x86 only")


def instructions(name: str) -> list[tuple[str, str]]:
    """The bytes and the text of every instruction of an object."""
    command = ["objdump", "-d", "--insn-width=16", str(KERNELS / name)]
    found = INSTRUCTION.findall(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found, f"{name} holds no instructions"
    return found


def wide(code: list[tuple[str, str]]) -> list[str]:
    """Those of AVX-512: encoded with the prefix 62, which no other instruction of 64-bit code begins with."""
    return [text for raw, text in code if raw.startswith("62 ")]


@pytest.mark.parametrize("folder", ["scalar", "avx2"])
def test_no_avx512_below_its_rungs(folder: str) -> None:
    for path in sorted((KERNELS / folder).glob("*.o")):
        assert wide(instructions(f"{folder}/{path.name}")) == [], path.name


def test_avxvnni_in_vex() -> None:
    """What runs where there is no AVX-512: vpdpbusd, and nothing that such a CPU lacks."""
    code = instructions("avxvnni/gemm_vex.o")
    assert wide(code) == []
    assert any(text.startswith("{vex} vpdpbusd") for _, text in code)
    assert wide(instructions("avxvnni/table.o")) == []


def test_avxvnni_in_evex() -> None:
    """The same source as a machine with AVX-512 VNNI checks it."""
    code = instructions("avxvnni/gemm_evex.o")
    dots = [text for text in wide(code) if text.startswith("vpdpbusd")]
    assert dots and not any("%zmm" in text for text in dots)

def test_avx512_without_vnni() -> None:
    for path in sorted((KERNELS / "avx512").glob("*.o")):
        assert not [text for _, text in instructions(f"avx512/{path.name}") if "vpdp" in text], path.name
