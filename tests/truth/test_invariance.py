"""The same tokens give the same bits, however the work is cut: chunks, threads, and rungs of the CPU ladder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from support import CLLM, Tiny

TOKENS = ",".join(str(i * 37 % 400 + 1) for i in range(75))
LONG_TOKENS = ",".join(str(i * 37 % 400 + 1) for i in range(1200))  # more than a segment of keys
CUTS = [
    ("--prefill-chunk", chunk, "--threads", threads)
    for chunk, threads in ((1, 1), (7, 2), (16, 3), (64, 2), (75, 1))
]
MODELS = [
    Tiny("qwen3", "q4_k_m"),
    Tiny("llama", "q4_1"),
    Tiny("qwen2", "q5_k"),
    Tiny("llama", "bf16"),
    Tiny("gemma3", "q8_0"),
    Tiny("qwen3moe", "q4_k_m"),
]


def rungs() -> list[str]:
    """The rungs that this CPU has, the best one last, as `cllm --version` tells."""
    said = subprocess.run([CLLM, "--version"], capture_output=True, text=True, check=True).stdout
    return said.rsplit("this machine has: ", 1)[1].split(")")[0].split()


def logits(model: Path, cut: tuple[object, ...], rung: str, tokens: str = TOKENS) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "logits.f32"
        command = [CLLM, "eval", "--model", model, "--tokens", tokens, "--logits", out, *map(str, cut)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "CLLM_CPU": rung})
        return out.read_bytes()


@pytest.mark.usefixtures("cllm")
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_any_cut(model: Tiny) -> None:
    """Chunks of the prompt and numbers of threads change nothing, on any rung; nor does the rung."""
    path = model.path()
    first = logits(path, CUTS[0], rungs()[-1])
    for cut in CUTS[1:]:
        assert logits(path, cut, rungs()[-1]) == first, f"{cut} differs"
    for rung in rungs()[:-1]:
        assert logits(path, CUTS[1], rung) == first, f"{rung} differs"


@pytest.mark.usefixtures("cllm")
@pytest.mark.parametrize("arch", ["qwen3", "gemma3"])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_any_cut_of_a_long_context(arch: str, kv_type: str) -> None:
    """The same across segments of keys, with either KV type."""
    path, kv = Tiny(arch, "q4_k_m").path(), ("--kv-type", kv_type)
    first = logits(path, (*CUTS[3], *kv), rungs()[-1], LONG_TOKENS)
    for cut in (CUTS[1], CUTS[2]):
        assert logits(path, (*cut, *kv), rungs()[-1], LONG_TOKENS) == first, f"{cut} differs"
    for rung in rungs()[:-1]:
        assert logits(path, (*CUTS[3], *kv), rung, LONG_TOKENS) == first, f"{rung} differs"
