"""The metadata of a GGUF file, enough of it for tests: read to Python values, and written from them."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9


class _Reader:
    def __init__(self, data: Any) -> None:
        self.data = data
        self.at = 0

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def string(self) -> str:
        n = self.number("<Q")
        raw = self.data[self.at : self.at + n]
        self.at += n
        return raw.decode()

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, n = self.number("<I"), self.number("<Q")
            return [self.value(element) for _ in range(n)]
        return self.number(SCALARS[kind])


def read_metadata(path: Path) -> dict[str, Any]:
    with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(data)
        magic, version = reader.number("<I"), reader.number("<I")
        if magic != 0x46554747 or version not in (2, 3):
            raise ValueError(f"{path} is not a GGUF file")
        _n_tensors, n_keys = reader.number("<Q"), reader.number("<Q")
        result = {}
        for _ in range(n_keys):
            key, kind = reader.string(), reader.number("<I")
            result[key] = reader.value(kind)
        return result


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _scalar(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 5, struct.pack("<i", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    return STRING, _string(value)


def write_metadata(path: Path, meta: dict[str, Any]) -> None:
    """A GGUF file without tensors. A list has elements of one type and is not empty."""
    out = bytearray(struct.pack("<IIQQ", 0x46554747, 3, 0, len(meta)))
    for key, value in meta.items():
        out += _string(key)
        if isinstance(value, list):
            items = [_scalar(v) for v in value]
            out += struct.pack("<IIQ", ARRAY, items[0][0], len(items)) + b"".join(raw for _, raw in items)
        else:
            kind, raw = _scalar(value)
            out += struct.pack("<I", kind) + raw
    path.write_bytes(bytes(out) + bytes(-len(out) % 32))
