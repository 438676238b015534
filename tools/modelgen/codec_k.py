"""Codecs of the 256-weight formats: q2_k … q6_k and iq4_xs. See codec.py for what a codec is.

Layouts: struct definitions of ggml (block_q2_K, …) as published with llama.cpp.
"""

from __future__ import annotations

import numpy as np

from gguf import GGMLQuantizationType as Q

from .codec import GROUP, IQ4_VALUES, Codec, Rng, fill_bytes, int_rms, jittered

QK = 256


def put_bits(target: np.ndarray, shift: int, width: int, value: np.ndarray | int) -> None:
    """Overwrite `width` bits at `shift` in every element of `target`, in place."""
    mask = ((1 << width) - 1) << shift
    keep = np.iinfo(target.dtype).max ^ mask
    target[...] = (target & keep) | (np.asarray(value).astype(target.dtype) << shift)


def ratio(value: np.ndarray, unit: np.ndarray, low: int, high: int) -> np.ndarray:
    """value / unit rounded into low..high; 0 where the unit is 0."""
    unit = unit.astype(np.float64)
    quotient = np.divide(value, unit, out=np.zeros_like(unit), where=unit != 0)
    return np.clip(np.rint(quotient), low, high).astype(np.int64)


def pack_scale_min(scales: np.ndarray, mins: np.ndarray) -> np.ndarray:
    """Eight 6-bit scales and eight 6-bit minima a row into the 12 bytes that q4_k and q5_k share."""
    s, m = scales.astype(np.uint8), mins.astype(np.uint8)
    low = s[:, :4] | ((s[:, 4:] >> 4) << 6)
    mid = m[:, :4] | ((m[:, 4:] >> 4) << 6)
    return np.concatenate([low, mid, (s[:, 4:] & 15) | ((m[:, 4:] & 15) << 4)], axis=1)


def put_scale_min(packed: np.ndarray, group: int, scale: np.ndarray, minimum: np.ndarray) -> None:
    """Overwrite one group's scale and minimum in the 12 packed bytes."""
    j = group % 4
    if group < 4:
        put_bits(packed[:, j], 0, 6, scale)
        put_bits(packed[:, 4 + j], 0, 6, minimum)
        return
    put_bits(packed[:, j], 6, 2, scale >> 4)
    put_bits(packed[:, 4 + j], 6, 2, minimum >> 4)
    put_bits(packed[:, 8 + j], 0, 4, scale & 15)
    put_bits(packed[:, 8 + j], 4, 4, minimum & 15)


class KCodec(Codec):
    """What the 256-weight formats share: a record with a float scale `d`, the rest filled at random."""

    block = QK

    def __init__(self, qtype: Q, fields: list[tuple], unit: float) -> None:
        self.qtype = qtype
        self.dtype = np.dtype(fields)
        self.unit = unit

    def random(self, n_blocks: int, std: float, rng: Rng) -> np.ndarray:
        out = np.empty(n_blocks, self.dtype)
        out["d"] = jittered(n_blocks, std / self.unit, rng, signed=False)
        for name in self.dtype.names or ():
            if name not in ("d", "dmin", "high"):
                fill_bytes(out[name].view(np.uint8), rng)
        return out

    def set_group(self, blocks: np.ndarray, group: int, value: np.ndarray) -> None:
        part = blocks[:, group // (QK // GROUP)]
        self.set_part(part, group % (QK // GROUP), np.asarray(value, np.float64))

    def set_part(self, part: np.ndarray, g: int, value: np.ndarray) -> None:
        raise NotImplementedError


class Q45Codec(KCodec):
    """q4_k and q5_k: weight = d * scale * code - dmin * min, 6-bit scales and minima for each 32 weights."""

    def __init__(self, qtype: Q) -> None:
        self.top = 31 if qtype is Q.Q5_K else 15
        fields: list[tuple] = [("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", (12,))]
        fields += [("qh", "u1", (32,))] if self.top == 31 else []
        spread = float(np.sqrt(((self.top + 1) ** 2 - 1) / 12))
        super().__init__(qtype, [*fields, ("qs", "u1", (128,))], int_rms(20, 63) * spread)

    def random(self, n_blocks: int, std: float, rng: Rng) -> np.ndarray:
        out = super().random(n_blocks, std, rng)
        scales = rng.integers(20, 64, size=(n_blocks, 8))
        mins = np.clip(scales + rng.integers(-2, 3, size=scales.shape), 0, 63)
        out["scales"] = pack_scale_min(scales, mins)
        out["dmin"] = out["d"].astype(np.float32) * (self.top / 2)
        return out

    def set_part(self, part: np.ndarray, g: int, value: np.ndarray) -> None:
        scale = ratio(np.maximum(value, 0), part["d"].astype(np.float64) * self.top, 0, 63)
        put_scale_min(part["scales"], g, scale, ratio(np.maximum(-value, 0), part["dmin"], 0, 63))
        code = np.where(value > 0, self.top, 0)[:, None]
        put_bits(part["qs"][:, g // 2 * 32 : g // 2 * 32 + 32], g % 2 * 4, 4, code & 15)
        if self.top == 31:
            put_bits(part["qh"], g, 1, code >> 4)


class Q2KCodec(KCodec):
    """q2_k: weight = d * scale * code - dmin * min, 4-bit scales and minima for each 16 weights."""

    def __init__(self) -> None:
        fields = [("scales", "u1", (16,)), ("qs", "u1", (64,)), ("d", "<f2"), ("dmin", "<f2")]
        super().__init__(Q.Q2_K, fields, int_rms(6, 15) * float(np.sqrt(15 / 12)))

    def random(self, n_blocks: int, std: float, rng: Rng) -> np.ndarray:
        out = super().random(n_blocks, std, rng)
        scales = rng.integers(6, 16, size=(n_blocks, 16), dtype=np.uint8)
        mins = np.clip(scales.astype(np.int8) + rng.integers(-1, 2, size=scales.shape), 0, 15).astype(
            np.uint8
        )
        out["scales"] = scales | (mins << 4)
        out["dmin"] = out["d"].astype(np.float32) * 1.5
        return out

    def set_part(self, part: np.ndarray, g: int, value: np.ndarray) -> None:
        scale = ratio(np.maximum(value, 0), part["d"].astype(np.float64) * 3, 0, 15)
        minimum = ratio(np.maximum(-value, 0), part["dmin"], 0, 15)
        part["scales"][:, 2 * g : 2 * g + 2] = (scale | (minimum << 4))[:, None]
        put_bits(
            part["qs"][:, g // 4 * 32 : g // 4 * 32 + 32], g % 4 * 2, 2, np.where(value > 0, 3, 0)[:, None]
        )


class Q3KCodec(KCodec):
    """q3_k: weight = d * (scale - 32) * (code - 4), 6-bit scales for each 16 weights."""

    def __init__(self) -> None:
        fields = [("hmask", "u1", (32,)), ("qs", "u1", (64,)), ("scales", "u1", (12,)), ("d", "<f2")]
        super().__init__(Q.Q3_K, fields, int_rms(-32, 31) * int_rms(-4, 3))

    def set_part(self, part: np.ndarray, g: int, value: np.ndarray) -> None:
        code = ratio(-value, part["d"].astype(np.float64) * 4, -32, 31) + 32
        for s in (2 * g, 2 * g + 1):
            put_bits(part["scales"][:, s % 8], s // 8 * 4, 4, code & 15)
            put_bits(part["scales"][:, 8 + s % 4], s // 4 * 2, 2, code >> 4)
        put_bits(part["qs"][:, g // 4 * 32 : g // 4 * 32 + 32], g % 4 * 2, 2, 0)
        put_bits(part["hmask"], g, 1, 0)


class Q6KCodec(KCodec):
    """q6_k: weight = d * scale * (code - 32), signed 8-bit scales for each 16 weights."""

    def __init__(self) -> None:
        fields = [("ql", "u1", (128,)), ("qh", "u1", (64,)), ("scales", "i1", (16,)), ("d", "<f2")]
        super().__init__(Q.Q6_K, fields, int_rms(-128, 127) * int_rms(-32, 31))

    def set_part(self, part: np.ndarray, g: int, value: np.ndarray) -> None:
        scale = ratio(value, part["d"].astype(np.float64) * 31, -128, 127)
        part["scales"][:, 2 * g : 2 * g + 2] = scale[:, None]
        low = g // 4 * 64 + g % 2 * 32
        put_bits(part["ql"][:, low : low + 32], g % 4 // 2 * 4, 4, 15)
        put_bits(part["qh"][:, g // 4 * 32 : g // 4 * 32 + 32], g % 4 * 2, 2, 3)


class Iq4XsCodec(KCodec):
    """iq4_xs: weight = d * (scale - 32) * table[code], 6-bit scales for each 32 weights."""

    def __init__(self) -> None:
        fields = [("d", "<f2"), ("high", "<u2"), ("low", "u1", (4,)), ("qs", "u1", (128,))]
        super().__init__(Q.IQ4_XS, fields, int_rms(-32, 31) * float(np.sqrt(np.mean(IQ4_VALUES**2))))

    def random(self, n_blocks: int, std: float, rng: Rng) -> np.ndarray:
        out = super().random(n_blocks, std, rng)
        out["high"] = rng.integers(0, 1 << 16, size=n_blocks, dtype=np.uint16)
        return out

    def set_part(self, part: np.ndarray, g: int, value: np.ndarray) -> None:
        code = ratio(value, part["d"].astype(np.float64) * IQ4_VALUES[-1], -32, 31) + 32
        put_bits(part["low"][:, g // 2], g % 2 * 4, 4, code & 15)
        put_bits(part["high"], g * 2, 2, code >> 4)
        part["qs"][:, g * 16 : g * 16 + 16] = 0xFF
