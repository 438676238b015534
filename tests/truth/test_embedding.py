"""Embeddings against the float64 reference: every pooling, longer than a chunk of a prompt, any chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference
from support import Tiny, random_tokens, run_cllm

N_TOKENS = 300  # three chunks of the default size
TOLERANCE = 2e-3
POOL = {
    "unsaid": lambda h: h.mean(axis=0),
    "none": lambda h: h.mean(axis=0),
    "mean": lambda h: h.mean(axis=0),
    "cls": lambda h: h[0],
    "last": lambda h: h[-1],
}


def embedding(model: Path, tokens: list[int], out: Path, *options: str) -> np.ndarray:
    text = ",".join(map(str, tokens))
    run_cllm("eval", "--model", model, "--tokens", text, "--embedding", out, *options)
    return np.fromfile(out, dtype="<f8")


@pytest.mark.usefixtures("cllm")
@pytest.mark.parametrize("pooling", POOL)
def test_pooling(pooling: str, tmp_path: Path) -> None:
    path = Tiny("qwen3", "f32", pooling=pooling).path()
    model = reference.load(path)
    model.kv_type = "f16"
    tokens = random_tokens(N_TOKENS, 512)
    want = POOL[pooling](model.hidden_states(tokens))
    got = embedding(path, tokens, tmp_path / "e")
    assert np.abs(got - want).max() <= TOLERANCE * want.std()
    for chunk in ("1", "37", "256"):
        other = embedding(path, tokens, tmp_path / "e", "--prefill-chunk", chunk, "--threads", "1")
        assert np.array_equal(got, other), f"chunks of {chunk} change it"
