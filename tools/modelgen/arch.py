"""Shapes: the model configurations, their tensors, and which type each tensor has in which file type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import gguf


@dataclass(frozen=True)
class Scales:
    """What Granite multiplies embeddings, scores and branches by, and what it divides logits by."""

    embedding: float
    attention: float
    residual: float
    logit: float


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of one dense decoder."""

    arch: str
    name: str
    basename: str
    size_label: str
    n_layer: int
    hidden: int
    n_head: int
    n_kv: int
    head_dim: int
    ffn: int
    vocab: int
    context: int
    rope_base: float
    eps: float = 1e-6
    tied: bool = True
    rope_scaling: str = "none"
    pooling: str = "unsaid"
    window: int = 0
    n_experts: int = 0
    n_experts_used: int = 0
    scales: Scales | None = None

    @property
    def q_dim(self) -> int:
        return self.n_head * self.head_dim

    @property
    def kv_dim(self) -> int:
        return self.n_kv * self.head_dim

    @property
    def qk_norm(self) -> bool:
        return self.arch in ("qwen3", "qwen3moe", "gemma3")

    @property
    def post_norms(self) -> bool:
        return self.arch == "gemma3"

    @property
    def qkv_bias(self) -> bool:
        return self.arch == "qwen2"


def _tiny(
    arch: str, n_layer: int, hidden: int, n_head: int, n_kv: int, head_dim: int, ffn: int, **more
) -> Config:
    name = f"tiny {arch}"
    return Config(
        arch, name, f"tiny-{arch}", "tiny", n_layer, hidden, n_head, n_kv, head_dim, ffn, 512, 2048, **more
    )


QWEN3_06B = Config(
    "qwen3", "Qwen3 0.6B", "Qwen3", "0.6B", 28, 1024, 16, 8, 128, 3072, 151936, 40960, rope_base=1e6, eps=1e-6
)
MODELS = {"qwen3-0.6b": QWEN3_06B}
TINY = {
    "llama": _tiny("llama", 3, 512, 8, 2, 64, 768, rope_base=10000.0, eps=1e-5, tied=False),
    "qwen2": _tiny("qwen2", 2, 256, 8, 4, 32, 512, rope_base=1e6),
    "qwen3": _tiny("qwen3", 4, 256, 8, 4, 64, 512, rope_base=1e6),
    "qwen3moe": _tiny(
        "qwen3moe", 3, 256, 8, 4, 64, 256, rope_base=1e6, n_experts=10, n_experts_used=3
    ),
    "smollm3": _tiny("smollm3", 5, 256, 8, 2, 32, 512, rope_base=5e6),
    "granite": _tiny("granite", 3, 256, 8, 2, 32, 512, rope_base=1e6, scales=Scales(12.0, 0.1, 0.22, 8.0)),
    "gemma3": _tiny("gemma3", 7, 256, 4, 1, 64, 512, rope_base=1e6, window=40),
}

POOLINGS = ("unsaid", "none", "mean", "cls", "last")
ROPE_SCALINGS = ("none", "linear", "freqs", "yarn")
SCALE_FACTOR = 4.0
ORIGINAL_CONTEXT = 64

FILE_TYPES = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k": 12,
    "q4_k": 14, "q4_k_m": 15, "q5_k": 16, "q6_k": 18, "iq4_nl": 25, "iq4_xs": 30, "bf16": 32,
}  # fmt: skip
"""general.file_type by our type name (llama_ftype; a pure K type gets the nearest mix's number)."""


@dataclass(frozen=True)
class Tensor:
    """One tensor: `cols` is the contiguous dimension (GGUF's first); rows == 0 means one-dimensional."""

    name: str
    rows: int
    cols: int
    codec: str
    role: str
    layer: int = -1
    n_experts: int = 1
    """Of a tensor in three dimensions: rows are those of all experts, one below the other."""


def use_more_bits(layer: int, n_layer: int) -> bool:
    """llama.cpp's rule for the layers that keep more bits in the _M mixes."""
    eighth = n_layer // 8
    return layer < eighth or layer >= 7 * n_layer // 8 or (layer - eighth) % 3 == 2


def codec_for(kind: str, role: str, layer: int, cfg: Config) -> str:
    """The weight format of a matrix in a file of type `kind`."""
    if kind != "q4_k_m":
        return kind
    if role == ("embd" if cfg.tied else "output"):
        return "q6_k"
    if role in ("attn_v", "ffn_down") and use_more_bits(layer, cfg.n_layer):
        return "q6_k"
    return "q4_k"


def _layer_tensors(cfg: Config, kind: str, i: int) -> Iterator[Tensor]:
    def matrix(role: str, rows: int, cols: int) -> Tensor:
        return Tensor(f"blk.{i}.{role}.weight", rows, cols, codec_for(kind, role, i, cfg), role, i)

    def feed_forward(role: str, rows: int, cols: int) -> Tensor:
        if not cfg.n_experts:
            return matrix(role, rows, cols)
        codec, n = codec_for(kind, role, i, cfg), cfg.n_experts
        return Tensor(f"blk.{i}.{role}_exps.weight", n * rows, cols, codec, role, i, n)

    def vector(role: str, n: int, suffix: str = "weight") -> Tensor:
        return Tensor(
            f"blk.{i}.{role}.{suffix}", 0, n, "f32", role + ("_bias" if suffix == "bias" else ""), i
        )

    yield vector("attn_norm", cfg.hidden)
    if cfg.n_experts:
        yield Tensor(f"blk.{i}.ffn_gate_inp.weight", cfg.n_experts, cfg.hidden, "f32", "ffn_gate_inp", i)
    yield feed_forward("ffn_down", cfg.hidden, cfg.ffn)
    yield feed_forward("ffn_gate", cfg.ffn, cfg.hidden)
    yield feed_forward("ffn_up", cfg.ffn, cfg.hidden)
    yield vector("ffn_norm", cfg.hidden)
    if cfg.post_norms:
        yield vector("post_attention_norm", cfg.hidden)
        yield vector("post_ffw_norm", cfg.hidden)
    for role, n in (("attn_k", cfg.kv_dim), ("attn_q", cfg.q_dim), ("attn_v", cfg.kv_dim)):
        yield matrix(role, n, cfg.hidden)
        if cfg.qkv_bias:
            yield vector(role, n, "bias")
    yield matrix("attn_output", cfg.hidden, cfg.q_dim)
    if cfg.qk_norm:
        yield vector("attn_q_norm", cfg.head_dim)
        yield vector("attn_k_norm", cfg.head_dim)


def tensors(cfg: Config, kind: str) -> list[Tensor]:
    """All tensors of a model in file order."""
    out = [Tensor("token_embd.weight", cfg.vocab, cfg.hidden, codec_for(kind, "embd", -1, cfg), "embd")]
    if cfg.rope_scaling == "freqs":
        out.append(Tensor("rope_freqs.weight", 0, cfg.head_dim // 2, "f32", "rope_freqs"))
    for i in range(cfg.n_layer):
        out.extend(_layer_tensors(cfg, kind, i))
    out.append(Tensor("output_norm.weight", 0, cfg.hidden, "f32", "output_norm"))
    if not cfg.tied:
        out.append(
            Tensor("output.weight", cfg.vocab, cfg.hidden, codec_for(kind, "output", -1, cfg), "output")
        )
    return out


def write_metadata(writer: gguf.GGUFWriter, cfg: Config, kind: str) -> None:
    """The general and architecture keys, in the order llama.cpp's converter writes them."""
    writer.add_type("model")
    writer.add_name(f"{cfg.name} (synthetic weights)")
    writer.add_basename(cfg.basename)
    writer.add_size_label(cfg.size_label)
    writer.add_block_count(cfg.n_layer)
    writer.add_context_length(cfg.context)
    writer.add_embedding_length(cfg.hidden)
    writer.add_feed_forward_length(cfg.ffn)
    writer.add_head_count(cfg.n_head)
    writer.add_head_count_kv(cfg.n_kv)
    writer.add_rope_freq_base(cfg.rope_base)
    writer.add_layer_norm_rms_eps(cfg.eps)
    if cfg.qk_norm:
        writer.add_key_length(cfg.head_dim)
        writer.add_value_length(cfg.head_dim)
    if cfg.n_experts:
        writer.add_expert_count(cfg.n_experts)
        writer.add_expert_used_count(cfg.n_experts_used)
        writer.add_expert_feed_forward_length(cfg.ffn)
    if cfg.window:
        writer.add_sliding_window(cfg.window)
    if cfg.scales:
        writer.add_embedding_scale(cfg.scales.embedding)
        writer.add_attention_scale(cfg.scales.attention)
        writer.add_residual_scale(cfg.scales.residual)
        writer.add_logit_scale(cfg.scales.logit)
    if cfg.arch in ("llama", "smollm3", "granite"):
        writer.add_vocab_size(cfg.vocab)
        writer.add_rope_dimension_count(cfg.head_dim)
    if cfg.rope_scaling in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(cfg.rope_scaling))
        writer.add_rope_scaling_factor(SCALE_FACTOR)
        writer.add_rope_scaling_orig_ctx_len(ORIGINAL_CONTEXT)
    if cfg.pooling != "unsaid":
        writer.add_pooling_type(gguf.PoolingType[cfg.pooling.upper()])
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
