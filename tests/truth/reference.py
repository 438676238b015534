"""An independent forward pass in float64, from the published descriptions of the models.

This is the truth the engine is measured against, so it is written for plainness: one matrix product after
another, the whole context at once, no cache, nothing quantised but the stored weights (dequantised with
gguf-py).

Sources: RMSNorm (Zhang & Sennrich 2019), rotary embeddings (Su et al. 2021; pairs (2i, 2i+1) for llama files
as GGUF stores them, pairs (i, i + d/2) for qwen), grouped-query attention (Ainslie et al. 2023), SwiGLU
(Shazeer 2020), GeGLU (ibid.), layers without positions (NoPE, as SmolLM3 has them), sliding windows with a RoPE of
their own, norms after each branch and embeddings times sqrt(hidden) (Gemma 3's report and model code), scales of
embeddings, scores, branches and logits (Granite's model code), position interpolation (Chen et al. 2023), YaRN (Peng et al. 2023), and the GGUF key and
tensor names of the format's document.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import gguf
from gguf import GGMLQuantizationType as Q

Array = np.ndarray
NEOX_ARCHS = ("qwen2", "qwen3", "qwen3moe", "gemma3")


@dataclass(frozen=True)
class Params:
    """Hyper-parameters as the file's metadata gives them."""

    arch: str
    n_layer: int
    hidden: int
    n_head: int
    n_kv: int
    head_dim: int
    eps: float
    rope_base: float
    rope_scaling: str
    rope_factor: float
    rope_original_context: int
    window: int
    n_experts_used: int
    embedding_scale: float
    attention_scale: float
    residual_scale: float
    logit_scale: float

    @classmethod
    def of(cls, meta: dict[str, Any]) -> Params:
        arch = meta["general.architecture"]

        def get(key: str, default: Any = None) -> Any:
            value = meta.get(f"{arch}.{key}", default)
            if value is None:
                raise KeyError(f"{arch}.{key} is missing")
            return value

        n_head, hidden = get("attention.head_count"), get("embedding_length")
        scaling = get("rope.scaling.type", "none")
        head_dim = get("attention.key_length", hidden // n_head)
        return cls(
            arch=arch,
            n_layer=get("block_count"),
            hidden=hidden,
            n_head=n_head,
            n_kv=get("attention.head_count_kv", n_head),
            head_dim=head_dim,
            eps=get("attention.layer_norm_rms_epsilon"),
            rope_base=get("rope.freq_base", 10000.0),
            rope_scaling=scaling,
            rope_factor=get("rope.scaling.factor", 1.0),
            rope_original_context=get("rope.scaling.original_context_length", get("context_length")),
            window=get("attention.sliding_window", 0),
            n_experts_used=get("expert_used_count", 0),
            embedding_scale=get("embedding_scale", math.sqrt(hidden) if arch == "gemma3" else 1.0),
            attention_scale=get("attention.scale", 1 / math.sqrt(head_dim)),
            residual_scale=get("residual_scale", 1.0),
            logit_scale=get("logit_scale", 1.0),
        )

    def is_windowed(self, layer: int) -> bool:
        """Gemma 3: five layers in six look back over a window only."""
        return self.window > 0 and layer % 6 != 5

    def is_turned(self, layer: int) -> bool:
        """SmolLM3: every fourth layer has no positions."""
        return self.arch != "smollm3" or layer % 4 != 3


def to_floats(tensor: gguf.ReaderTensor) -> Array:
    """A stored tensor as float32, rows × columns (GGUF's first dimension is the last here)."""
    shape = tuple(int(n) for n in reversed(tensor.shape))
    if tensor.tensor_type in (Q.F32, Q.F16):
        return np.asarray(tensor.data, dtype=np.float32).reshape(shape)
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)


@dataclass
class Model:
    """A model file, its weights dequantised on first use."""

    params: Params
    meta: dict[str, Any]
    tensors: dict[str, gguf.ReaderTensor]
    int8_block: int = 0
    """If set, the input of every matrix product is rounded to int8 with one scale for each so many values, as
    fast engines do with quantised weights. Serves only to measure how much noise that makes in a given
    model."""
    kv_type: str = "f32"
    """How keys and values are rounded before use, as the engine's KV cache holds them: f16, or q8_0 (int8 with
    a float16 scale for each 32 dimensions of a head; queries are then rounded likewise, as their scores are
    integer dot products)."""
    _cache: dict[str, Array] = field(default_factory=dict)

    def weight(self, name: str) -> Array:
        """A weight in float32, as dequantised; all arithmetic with it is float64."""
        if name not in self._cache:
            self._cache[name] = to_floats(self.tensors[name])
        return self._cache[name]

    def logits(self, token_ids: list[int]) -> Array:
        """Logits after each of the tokens: float64 [n, vocab]."""
        output = "output.weight" if "output.weight" in self.tensors else "token_embd.weight"
        return self._product(self.hidden_states(token_ids), output) / self.params.logit_scale

    def hidden_states(self, token_ids: list[int]) -> Array:
        """What the output matrix is given for each of the tokens: float64 [n, hidden]."""
        p = self.params
        x = self.weight("token_embd.weight")[np.asarray(token_ids)].astype(np.float64) * p.embedding_scale
        for i in range(p.n_layer):
            added = self._attention(i, self._norm(x, f"blk.{i}.attn_norm.weight"))
            x = x + p.residual_scale * self._norm_if_any(added, f"blk.{i}.post_attention_norm.weight")
            added = self._feed_forward(i, self._norm(x, f"blk.{i}.ffn_norm.weight"))
            x = x + p.residual_scale * self._norm_if_any(added, f"blk.{i}.post_ffw_norm.weight")
        return self._norm(x, "output_norm.weight")

    def _norm(self, x: Array, name: str) -> Array:
        rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + self.params.eps)
        return x / rms * self.weight(name).astype(np.float64)

    def _norm_if_any(self, x: Array, name: str) -> Array:
        return self._norm(x, name) if name in self.tensors else x

    def _product(self, x: Array, name: str) -> Array:
        return product(self._rounded(x), self.weight(name))

    def _rounded(self, x: Array) -> Array:
        return round_to_int8(x, self.int8_block) if self.int8_block else x

    def _linear(self, x: Array, prefix: str) -> Array:
        y = self._product(x, f"{prefix}.weight")
        return y + self.weight(f"{prefix}.bias") if f"{prefix}.bias" in self.tensors else y

    def _heads(self, layer: int, x: Array, which: str, n: int) -> Array:
        """A projection split into heads [n heads, tokens, head_dim], normalised if the model does so."""
        y = self._linear(x, f"blk.{layer}.attn_{which}").reshape(len(x), n, self.params.head_dim)
        return self._norm_if_any(y, f"blk.{layer}.attn_{which}_norm.weight").transpose(1, 0, 2)

    def _attention(self, layer: int, x: Array) -> Array:
        p = self.params
        q, k, v = (self._heads(layer, x, w, n) for w, n in (("q", p.n_head), ("k", p.n_kv), ("v", p.n_kv)))
        if p.is_turned(layer):
            turn = rope_turn(self, len(x), p.is_windowed(layer))
            q, k = (rotate(t, turn, p.arch) for t in (q, k))
        k, v = (round_kv(t, self.kv_type) for t in (k, v))
        if self.kv_type == "q8_0":
            q = np.concatenate([round_group(g) for g in groups_of(q)], axis=-1)
        k, v = (np.repeat(t, p.n_head // p.n_kv, axis=0) for t in (k, v))
        scores = q @ k.transpose(0, 2, 1) * p.attention_scale
        seen = np.tri(len(x), dtype=bool)
        if p.is_windowed(layer):
            seen &= ~np.tri(len(x), k=-p.window, dtype=bool)
        scores = np.where(seen, scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = scores / scores.sum(axis=-1, keepdims=True) @ v
        return self._linear(mixed.transpose(1, 0, 2).reshape(len(x), -1), f"blk.{layer}.attn_output")

    def _feed_forward(self, layer: int, x: Array) -> Array:
        if f"blk.{layer}.ffn_gate_inp.weight" in self.tensors:
            return self._experts(layer, x)
        gate = self._linear(x, f"blk.{layer}.ffn_gate")
        up = self._linear(x, f"blk.{layer}.ffn_up")
        gated = gelu(gate) if self.params.arch == "gemma3" else gate / (1 + np.exp(-gate))
        return self._linear(gated * up, f"blk.{layer}.ffn_down")

    def _experts(self, layer: int, x: Array) -> Array:
        """Qwen3's report: the softmax over all experts, the best of it normalised."""
        scores = self.weight(f"blk.{layer}.ffn_gate_inp.weight").astype(np.float64) @ x.T
        chances = np.exp(scores - scores.max(axis=0)).T
        out = np.zeros_like(x)
        for row, chance in enumerate(chances):
            best = np.argsort(-chance, kind="stable")[: self.params.n_experts_used]
            for expert, share in zip(best, chance[best] / chance[best].sum(), strict=True):
                out[row] += share * self._expert(layer, expert, x[row : row + 1])[0]
        return out

    def _expert(self, layer: int, expert: int, x: Array) -> Array:
        gate, up, down = (
            self.weight(f"blk.{layer}.ffn_{part}_exps.weight")[expert] for part in ("gate", "up", "down")
        )
        gated = self._rounded(x) @ gate.T.astype(np.float64)
        hidden = gated / (1 + np.exp(-gated)) * (self._rounded(x) @ up.T.astype(np.float64))
        return self._rounded(hidden) @ down.T.astype(np.float64)


def gelu(x: Array) -> Array:
    """GELU in its tanh form (Hendrycks & Gimpel 2016)."""
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def round_to_int8(x: Array, block: int) -> Array:
    """x rounded to 255 levels a block, the block's largest magnitude being 127."""
    parts = x.reshape(len(x), -1, block)
    scale = np.maximum(np.abs(parts).max(axis=-1, keepdims=True) / 127, 1e-30)
    return (np.rint(parts / scale) * scale).reshape(x.shape)


def round_kv(x: Array, kv_type: str) -> Array:
    """Keys or values [heads, tokens, head_dim] as a cache of this type gives them back."""
    if kv_type == "f16":
        return x.astype(np.float16).astype(np.float64)
    if kv_type == "q8_0":
        return np.concatenate([round_group(g) for g in groups_of(x)], axis=-1)
    return x


def groups_of(x: Array) -> list[Array]:
    return [x[..., i : i + 32] for i in range(0, x.shape[-1], 32)]


def round_group(x: Array) -> Array:
    scale = (np.abs(x).max(axis=-1, keepdims=True) / 127).astype(np.float16).astype(np.float64)
    return np.clip(np.rint(x / np.where(scale > 0, scale, 1)), -127, 127) * scale


def product(x: Array, w: Array, step: int = 8192) -> Array:
    """x @ w.T in float64, some rows of w at a time so that a big vocabulary needs no big copy."""
    return np.concatenate([x @ w[i : i + step].astype(np.float64).T for i in range(0, len(w), step)], axis=1)


def rope_turn(model: Model, n: int, windowed: bool = False) -> Array:
    """Complex factors [n, head_dim / 2] that turn each pair of a head at each position."""
    p = model.params
    half = p.head_dim // 2
    if windowed:
        return np.exp(1j * np.arange(n)[:, None] * 10000.0 ** (-np.arange(half) / half))
    frequency = p.rope_base ** (-np.arange(half) / half)
    size = 1.0
    if "rope_freqs.weight" in model.tensors:
        frequency = frequency / model.weight("rope_freqs.weight")
    if p.rope_scaling == "linear":
        frequency = frequency / p.rope_factor
    elif p.rope_scaling == "yarn":
        frequency, size = yarn(p, frequency)
    return size * np.exp(1j * np.arange(n)[:, None] * frequency)


def yarn(p: Params, frequency: Array) -> tuple[Array, float]:
    """YaRN: pairs that turn often within the original context stay, slow ones are interpolated."""
    beta_fast, beta_slow = 32.0, 1.0

    def pair_of(turns: float) -> float:
        return (
            p.head_dim
            * math.log(p.rope_original_context / (turns * 2 * math.pi))
            / (2 * math.log(p.rope_base))
        )

    low = max(math.floor(pair_of(beta_fast)), 0)
    high = min(math.ceil(pair_of(beta_slow)), p.head_dim - 1)
    ramp = np.clip((np.arange(len(frequency)) - low) / max(high - low, 0.001), 0, 1)
    return frequency * (1 - ramp) + frequency / p.rope_factor * ramp, 0.1 * math.log(p.rope_factor) + 1


def rotate(x: Array, turn: Array, arch: str) -> Array:
    """Rotary embedding of [heads, tokens, head_dim]: each pair as a complex number times `turn`."""
    half = x.shape[-1] // 2
    if arch in NEOX_ARCHS:
        z = (x[..., :half] + 1j * x[..., half:]) * turn
        return np.concatenate([z.real, z.imag], axis=-1)
    z = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
    return np.stack([z.real, z.imag], axis=-1).reshape(x.shape)


def load(path: str | Path) -> Model:
    """Open a GGUF file of one of the architectures."""
    reader = gguf.GGUFReader(path)
    skip = (
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.token_type",
    )
    meta = {name: f.contents() for name, f in reader.fields.items() if name not in skip}
    return Model(Params.of(meta), meta, {t.name: t for t in reader.tensors})
