"""The engine's logits against the float64 reference, for every architecture and weight format.

The engine keeps keys and values as float16 and so does the reference here (but for the test of q8_0). Two
tolerances:

* Float weights: what is left is float32 rounding (and keys that it pushes over a float16 rounding edge), so
  no logit may be off by more than FLOAT_TOLERANCE times the logits' standard deviation.
* Quantised weights: the engine rounds activations to int8 (a scale for each 32 or 256 values), which is noise
  by design: 2-6 % in these random models (llama.cpp's is the same). So the reference is run a second time
  with its activations rounded the same way. That run shows how large the noise must be: the engine may have
  NOISE_FACTOR times as much (measured: 0.99-1.01). And the engine must be nearer to that run than to the
  exact one: SHARED_NOISE of the noise (measured: 0-0.65; not 0 everywhere, because a value on a rounding edge
  goes either way).
"""

from __future__ import annotations

import pytest
import reference
from support import (
    ARCHS,
    FLOAT_TYPES,
    FURTHER_ARCHS,
    MIXES,
    QUANT_TYPES,
    Error,
    Tiny,
    engine_logits,
    random_tokens,
)

FLOAT_TOLERANCE = 2e-3
NOISE_FACTOR = 1.1
SHARED_NOISE = 0.8
N_TOKENS, LONG_TOKENS = 48, 1100
SHARED_KV_NOISE = 0.5
BLOCK_OF_256 = ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs", "q4_k_m")

CASES = [Tiny(arch, kind) for arch in ARCHS for kind in (*FLOAT_TYPES, *QUANT_TYPES, *MIXES)]
CASES += [Tiny(arch, kind) for arch in FURTHER_ARCHS for kind in ("f32", "q8_0", "q4_k_m")]
CASES += [Tiny("llama", kind, scaling) for kind in ("f32", "q4_k") for scaling in ("linear", "freqs", "yarn")]
CASES += [Tiny("qwen2", "f32", "linear"), Tiny("qwen2", "f32", "yarn"), Tiny("qwen3", "f32", "yarn")]
CASES += [Tiny("gemma3", "f32", "linear")]
CASES += [
    Tiny("llama", "q4_0", tokenizer="spm"),
    Tiny("qwen3", "q4_k_m", bias=True),
    Tiny("llama", "f32", bias=True),
]
LONG_CASES = [Tiny("llama", "f32"), Tiny("qwen3", "f16"), Tiny("gemma3", "f32")]


@pytest.mark.usefixtures("cllm")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_logits(case: Tiny) -> None:
    model = reference.load(case.path())
    model.kv_type = "f16"
    n_vocab = len(model.weight("token_embd.weight"))
    tokens = random_tokens(N_TOKENS, n_vocab)
    want = model.logits(tokens)
    got = engine_logits(case.path(), tokens, n_vocab)
    error = Error.between(got, want)
    if case.type in FLOAT_TYPES:
        assert error.max_abs <= FLOAT_TOLERANCE * error.std, error
        return
    model.int8_block = 256 if case.type in BLOCK_OF_256 else 32
    rounded = model.logits(tokens)
    noise, apart = Error.between(rounded, want), Error.between(got, rounded)
    assert error.rel_rms <= NOISE_FACTOR * noise.rel_rms, f"{error}; int8 activations alone make {noise}"
    assert apart.rel_rms <= SHARED_NOISE * noise.rel_rms, (
        f"{apart} from the rounded reference; noise: {noise}"
    )


@pytest.mark.usefixtures("cllm")
@pytest.mark.parametrize("case", LONG_CASES, ids=lambda case: case.label)
def test_long_context(case: Tiny) -> None:
    """More than a thousand tokens: many KV blocks, several prefill chunks, two segments of keys."""
    model = reference.load(case.path())
    model.kv_type = "f16"
    n_vocab = len(model.weight("token_embd.weight"))
    tokens = random_tokens(LONG_TOKENS, n_vocab, seed=11)
    error = Error.between(engine_logits(case.path(), tokens, n_vocab), model.logits(tokens))
    assert error.max_abs <= FLOAT_TOLERANCE * error.std, error


@pytest.mark.usefixtures("cllm")
@pytest.mark.parametrize("case", LONG_CASES[:2], ids=lambda case: case.label)
def test_q8_cache(case: Tiny) -> None:
    """Keys and values as q8_0: the noise that the rounding must make, and nearly the same noise."""
    model = reference.load(case.path())
    n_vocab = len(model.weight("token_embd.weight"))
    tokens = random_tokens(LONG_TOKENS, n_vocab, seed=11)
    exact = model.logits(tokens)
    model.kv_type = "q8_0"
    rounded = model.logits(tokens)
    got = engine_logits(case.path(), tokens, n_vocab, "--kv-type", "q8_0")
    noise, apart = Error.between(rounded, exact), Error.between(got, rounded)
    assert Error.between(got, exact).rel_rms <= NOISE_FACTOR * noise.rel_rms, (
        f"the rounding alone makes {noise}"
    )
    assert apart.rel_rms <= SHARED_KV_NOISE * noise.rel_rms, f"{apart} from the rounded reference; noise: {noise}"
