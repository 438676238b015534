"""The preloaded library of fault.c, and the page that it shares with a test."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

KINDS = ["malloc", "thread", "mmap", "write", "accept", "fd"]  # the order of fault.c
FIELDS = struct.Struct("=qqqq")  # countdown, lasting, seen, failed


def build_library(folder: Path) -> Path:
    """Compile fault.c with what there is."""
    compiler = next(c for c in ("clang-19", "clang", "gcc", "cc") if shutil.which(c))
    out = folder / "fault.so"
    source = Path(__file__).with_name("fault.c")
    subprocess.run([compiler, "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fno-builtin", "-o", str(out), str(source), "-ldl"], check=True)
    return out


class Faults:
    """The shared page; `environment` is what a program under test gets."""

    def __init__(self, library: Path, page: Path) -> None:
        page.write_bytes(bytes(FIELDS.size * len(KINDS)))
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "FAULT": str(page)}
        with page.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 0)

    def order(self, kind: str, n: int, lasting: bool = False) -> None:
        """The n-th call from now on fails, and with `lasting` all after it."""
        self._page[:] = bytes(len(self._page))
        FIELDS.pack_into(self._page, FIELDS.size * KINDS.index(kind), n, lasting, 0, 0)

    def clear(self) -> None:
        for i in range(len(KINDS)):
            struct.pack_into("=q", self._page, FIELDS.size * i, 0)

    def seen(self, kind: str) -> int:
        return FIELDS.unpack_from(self._page, FIELDS.size * KINDS.index(kind))[2]

    def failed(self, kind: str) -> int:
        return FIELDS.unpack_from(self._page, FIELDS.size * KINDS.index(kind))[3]
