"""The engine's dequantised tensors against gguf-py's, bit by bit, for every weight format.

Both compute in float32, in the order the formats' descriptions give: e.g. q4_k is (d·scale)·code −
(dmin·min), each product rounded. A compiler that contracts this into fused multiply-adds fails here
(-ffp-contract=off).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference
from support import FLOAT_TYPES, QUANT_TYPES, Tiny, run_cllm

import gguf

NAMES = ("token_embd.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight", "blk.0.attn_norm.weight")


def engine_tensor(model: Path, name: str, out: Path) -> np.ndarray:
    run_cllm("eval", "--model", model, "--dump-tensor", name, "--out", out)
    return np.fromfile(out, dtype="<f4")


@pytest.mark.usefixtures("cllm")
@pytest.mark.parametrize("bias", [False, True], ids=["random", "structured"])
@pytest.mark.parametrize("kind", [*FLOAT_TYPES, *QUANT_TYPES])
def test_dequantised(kind: str, bias: bool, tmp_path: Path) -> None:
    """`structured` models also hold all-zero blocks and extreme codes."""
    path = Tiny("llama", kind, bias=bias).path()
    tensors = {t.name: t for t in gguf.GGUFReader(path).tensors}
    for name in NAMES:
        want = reference.to_floats(tensors[name]).ravel()
        got = engine_tensor(path, name, tmp_path / "tensor.f32")
        assert got.size == want.size, f"{name}: {got.size} values, expected {want.size}"
        wrong = np.flatnonzero(got.view(np.uint32) != want.view(np.uint32))
        first = [(int(i), float(got[i]), float(want[i])) for i in wrong[:5]]
        assert not wrong.size, f"{name}: {wrong.size} of {want.size} differ; (index, ours, gguf-py): {first}"
