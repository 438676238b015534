"""The synthetic weights: random numbers of sane scale, and the "printable bias".

Scale. Every matrix that reads a normalised stream has std 1/sqrt(fan-in); those that write into the residual
stream are smaller, so that all layers together bring it to about RESIDUAL_RMS: well above the embedding, so
that a model with tied embeddings does not just repeat its input, and with logits of std about LOGIT_STD.

Printable bias. A random model would soon emit an end token or half a UTF-8 character, and a server under load
would then measure nothing. So a few dimensions of the stream are reserved:

    CARRIER  the same positive value in every embedding row; no layer writes to it
    SIGN     +a in the embedding of tokens that are printable text by themselves, -a in all others

In every layer 32 value channels of the first KV head read only CARRIER: they are positive, and about the same
at every position, so attention, which averages, cannot change them. The output projection adds them to SIGN.
The final stream is thus positive in SIGN whatever the input was, and the (tied) head gives printable tokens a
clear lead over others. All other weights ignore the reserved dimensions, so that they do not make the output
the same for every input.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np

from .arch import ORIGINAL_CONTEXT, Config, Tensor
from .codec import GROUP, Codec
from .codecs import CODECS

LOGIT_STD = 2.0
RESIDUAL_RMS = 2.0
SIGN_LEVEL = 2.5
MARK = 1.5


@dataclass(frozen=True)
class Scales:
    """The numbers the weights are made from; all follow from the configuration."""

    embd: float
    branch: float
    n_reserved: int

    @classmethod
    def of(cls, cfg: Config) -> Scales:
        reserved = max(GROUP, cfg.hidden // 16 // GROUP * GROUP)
        return cls(LOGIT_STD / math.sqrt(cfg.hidden), RESIDUAL_RMS / math.sqrt(2 * cfg.n_layer), reserved)

    def stream_rms(self, layer: int) -> float:
        """About the root mean square of the residual stream before `layer`."""
        return math.sqrt(self.embd**2 + 2 * layer * self.branch**2)


class Weights:
    """Makes the data of each tensor of one model, each from its own random stream."""

    def __init__(self, cfg: Config, seed: int, printable: np.ndarray | None) -> None:
        self.cfg = cfg
        self.seed = seed
        self.printable = printable
        self.scales = Scales.of(cfg)
        self.carrier = range(self.scales.n_reserved // GROUP)
        self.sign = range(len(self.carrier), 2 * len(self.carrier))

    def make(self, t: Tensor) -> np.ndarray:
        """The tensor's raw bytes, shaped [rows, row bytes] (or floats [n] if one-dimensional)."""
        rng = np.random.Generator(np.random.PCG64([self.seed, zlib.crc32(t.name.encode())]))
        if t.rows == 0:
            return self._vector(t, rng)
        codec = CODECS[t.codec]
        flat = codec.random(t.rows * t.cols // codec.block, self._std(t), rng)
        blocks = flat.reshape(t.rows, t.cols // codec.block)
        if self.printable is not None:
            self._bias(t, codec, blocks, rng)
        return (
            blocks
            if t.codec in ("f32", "f16")
            else flat.view(np.uint8).reshape(t.rows, codec.row_bytes(t.cols))
        )

    def _std(self, t: Tensor) -> float:
        s = self.scales
        if t.role in ("embd", "output"):
            return s.embd
        gain = {"ffn_down": s.branch / 0.4, "attn_output": s.branch * 0.7}.get(t.role, 1.0)
        return gain / math.sqrt(t.cols)

    def _vector(self, t: Tensor, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal(t.cols)
        if t.role == "rope_freqs":
            values = llama3_factors(self.cfg)
        elif t.role.endswith("_bias"):
            values = 0.1 * noise
            if t.role == "attn_v_bias" and self.printable is not None:
                values[:GROUP] = 0
        elif t.role in ("attn_q_norm", "attn_k_norm"):
            values = 1.4 + 0.1 * noise
        else:
            values = 1 + 0.05 * noise
        return values.astype(np.float32)

    def _bias(self, t: Tensor, codec: Codec, blocks: np.ndarray, rng: np.random.Generator) -> None:
        if t.role in ("embd", "output"):
            self._bias_vocabulary(t, codec, blocks)
            return
        if t.cols == self.cfg.hidden and t.role != "attn_output":
            for g in (*self.carrier, *self.sign):
                codec.set_group(blocks, g, np.zeros(t.rows))
        if t.role == "attn_v":
            self._constant_rows(t, codec, blocks, slice(0, GROUP), dict.fromkeys(self.carrier, 1.0), rng)
        elif t.role in ("ffn_down", "attn_output"):
            experts = blocks.reshape(t.n_experts, -1, *blocks.shape[1:])
            experts[:, : 2 * self.scales.n_reserved] = np.zeros((), codec.dtype)
            if t.role == "attn_output":
                rows = slice(self.scales.n_reserved, 2 * self.scales.n_reserved)
                self._constant_rows(t, codec, blocks, rows, {0: 1.0}, rng)

    def _bias_vocabulary(self, t: Tensor, codec: Codec, blocks: np.ndarray) -> None:
        level = MARK * self.scales.embd
        marks = np.where(self.printable, level, -level)
        for g in self.carrier:
            codec.set_group(blocks, g, np.full(t.rows, level))
        for g in self.sign:
            codec.set_group(blocks, g, marks)

    def _constant_rows(
        self, t: Tensor, codec: Codec, blocks: np.ndarray, rows: slice, groups: dict[int, float],
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Rows that read only the given groups of columns, each with the same weight."""
        value = self._value_weight() if t.role == "attn_v" else self._output_weight(t.layer)
        part = blocks[rows]
        part[...] = codec.random(part.size, value, rng).reshape(part.shape)
        for g in range(t.cols // GROUP):
            codec.set_group(part, g, np.full(part.shape[0], value * groups.get(g, 0.0)))

    def _value_weight(self) -> float:
        return 1 / math.sqrt(self.cfg.hidden)

    def _output_weight(self, layer: int) -> float:
        """So that the layers together bring SIGN to SIGN_LEVEL times the stream's root mean square."""
        s = self.scales
        channel = s.n_reserved * self._value_weight() * MARK * s.embd / s.stream_rms(layer)
        return SIGN_LEVEL * RESIDUAL_RMS / self.cfg.n_layer / (GROUP * channel)


def llama3_factors(cfg: Config) -> np.ndarray:
    """Frequency divisors like Llama 3's: 1 for short wavelengths, 8 for long ones, smooth between."""
    factor, low, high = 8.0, 1.0, 4.0
    half = cfg.head_dim // 2
    wavelength = 2 * math.pi * cfg.rope_base ** (np.arange(half) / half)
    smooth = np.clip((ORIGINAL_CONTEXT / wavelength - low) / (high - low), 0, 1)
    return 1 / ((1 - smooth) / factor + smooth)
