"""What a block codec is, and the simple ones: floats and the 32-weight formats.

A codec makes random weights of a given scale *directly* in a GGML block format (random codes, fitting block
scales) instead of quantising floats: that is fast, and it exercises every bit of the format. `set_group`
overwrites 32 neighbouring weights of a row with one constant; that is all the structure the synthetic models
need.

Layouts: struct definitions of ggml (block_q4_0, block_q4_1, …) as published with llama.cpp.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from gguf import GGMLQuantizationType as Q

GROUP = 32
JITTER = (0.7, 1.3)
JITTER_RMS = float(np.sqrt(1 + 0.6**2 / 12))
IQ4_VALUES = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.float64
)

Rng = np.random.Generator


def int_rms(low: int, high: int) -> float:
    """Root mean square of the integers low..high, all equally likely."""
    values = np.arange(low, high + 1, dtype=np.float64)
    return float(np.sqrt(np.mean(values**2)))


def fill_bytes(field: np.ndarray, rng: Rng, step: int = 1 << 16) -> None:
    """Fill a field of a structured array with random bytes, piece by piece to keep memory low."""
    for i in range(0, len(field), step):
        part = field[i : i + step]
        part[...] = rng.integers(0, 256, size=part.shape, dtype=np.uint8)


def jittered(n: int, scale: float, rng: Rng, signed: bool) -> np.ndarray:
    """n block scales around `scale` (root mean square), with random signs if the format is symmetric."""
    out = rng.uniform(*JITTER, size=n) * (scale / JITTER_RMS)
    return out * rng.choice((-1.0, 1.0), size=n) if signed else out


class Codec(ABC):
    """One weight format: `block` weights are stored as one record of `dtype`."""

    qtype: Q
    block: int
    dtype: np.dtype

    @abstractmethod
    def random(self, n_blocks: int, std: float, rng: Rng) -> np.ndarray:
        """Blocks of random weights, mean about zero, standard deviation about `std`."""

    @abstractmethod
    def set_group(self, blocks: np.ndarray, group: int, value: np.ndarray) -> None:
        """Make 32 neighbouring weights of every row constant.

        `blocks` is a view [rows, blocks per row], `value` one number a row, which must be within about 1.5
        times the std the blocks were made with (a format's block scale may be shared with the neighbours).
        """

    def row_bytes(self, n_cols: int) -> int:
        if n_cols % self.block:
            raise ValueError(
                f"{self.qtype.name}: {n_cols} columns are not a multiple of its block of {self.block}"
            )
        return n_cols // self.block * self.dtype.itemsize


class FloatCodec(Codec):
    """f32, f16 and bf16: normal random numbers."""

    block = 1

    def __init__(self, qtype: Q) -> None:
        self.qtype = qtype
        self.dtype = np.dtype({Q.F32: "<f4", Q.F16: "<f2", Q.BF16: "<u2"}[qtype])

    def encode(self, values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float32)
        if self.qtype is not Q.BF16:
            return values.astype(self.dtype)
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)

    def random(self, n_blocks: int, std: float, rng: Rng) -> np.ndarray:
        return self.encode(rng.standard_normal(n_blocks, dtype=np.float32) * np.float32(std))

    def set_group(self, blocks: np.ndarray, group: int, value: np.ndarray) -> None:
        blocks[:, group * GROUP : (group + 1) * GROUP] = self.encode(np.asarray(value, np.float64))[:, None]


@dataclass(frozen=True)
class SmallSpec:
    """A 32-weight format: weight = d * (code - zero), or d * code + m when it has a minimum."""

    codes: int
    zero: int
    has_min: bool
    high_bits: bool


SMALL_SPECS = {
    Q.Q4_0: SmallSpec(16, 8, False, False),
    Q.Q4_1: SmallSpec(16, 0, True, False),
    Q.Q5_0: SmallSpec(32, 16, False, True),
    Q.Q5_1: SmallSpec(32, 0, True, True),
    Q.IQ4_NL: SmallSpec(16, 0, False, False),
}


class SmallCodec(Codec):
    """q4_0, q4_1, q5_0, q5_1 and iq4_nl."""

    block = 32

    def __init__(self, qtype: Q) -> None:
        self.qtype = qtype
        self.spec = spec = SMALL_SPECS[qtype]
        fields: list[tuple] = [("d", "<f2")]
        fields += [("m", "<f2")] if spec.has_min else []
        fields += [("qh", "u1", (4,))] if spec.high_bits else []
        self.dtype = np.dtype([*fields, ("qs", "u1", (16,))])
        self.levels = IQ4_VALUES if qtype is Q.IQ4_NL else np.arange(spec.codes, dtype=np.float64) - spec.zero

    def random(self, n_blocks: int, std: float, rng: Rng) -> np.ndarray:
        out = np.empty(n_blocks, self.dtype)
        middle = float(self.levels.mean()) if self.spec.has_min else 0.0
        unit = float(np.sqrt(np.mean((self.levels - middle) ** 2)))
        d = jittered(n_blocks, std / unit, rng, signed=True)
        out["d"] = d
        if self.spec.has_min:
            out["m"] = -d * middle
        for name in ("qh", "qs"):
            if name in self.dtype.names:
                fill_bytes(out[name], rng)
        return out

    def set_group(self, blocks: np.ndarray, group: int, value: np.ndarray) -> None:
        part = blocks[:, group]
        part["qs"] = 0xFF
        if self.spec.high_bits:
            part["qh"] = 0xFF
        part["d"] = np.asarray(value) / self.levels[-1]
        if self.spec.has_min:
            part["m"] = 0


class Q8Codec(Codec):
    """q8_0. The code -128 is left out: no quantiser writes it."""

    qtype = Q.Q8_0
    block = 32
    dtype = np.dtype([("d", "<f2"), ("qs", "i1", (32,))])

    def random(self, n_blocks: int, std: float, rng: Rng) -> np.ndarray:
        out = np.empty(n_blocks, self.dtype)
        out["d"] = jittered(n_blocks, std / int_rms(-127, 127), rng, signed=False)
        for i in range(0, n_blocks, 1 << 16):
            part = out["qs"][i : i + (1 << 16)]
            part[...] = rng.integers(-127, 128, size=part.shape, dtype=np.int8)
        return out

    def set_group(self, blocks: np.ndarray, group: int, value: np.ndarray) -> None:
        part = blocks[:, group]
        part["qs"] = 127
        part["d"] = np.asarray(value) / 127
