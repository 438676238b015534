"""The table of docs/sizing.md: every model of the catalogue is in it and can be run; figures follow from their columns."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = re.compile(r'^MODEL\("([^"]+)", "[^"]+", "[^"]+", ([\d.]+), "(\w+)"', re.MULTILINE)
ARCH = re.compile(r'\.name = "(\w+)"')
TOKENS = 8 * 4096


def catalogue() -> dict[str, float]:
    """Name and gigabytes."""
    known = set(ARCH.findall((ROOT / "src/model/arch.c").read_text(encoding="utf-8")))
    models = MODEL.findall((ROOT / "src/library/catalogue.def").read_text(encoding="utf-8"))
    assert {arch for *_, arch in models} <= known
    return {name: float(size) for name, size, _ in models}


def row(name: str, gigabytes: float, layers: int, heads: int, size: int) -> str:
    kv = 2 * layers * heads * size * 2
    speeds = " / ".join(f"{speed / gigabytes:.0f}" for speed in (20, 60))
    return (f"| `{name}` | {gigabytes} | {layers}, {heads}, {size} | {kv / 1024:.1f} | "
            f"{gigabytes + kv * TOKENS / 1e9:.1f} | {speeds} |")  # fmt: skip


def test_every_figure() -> None:
    lines = re.findall(r"^\| `([^`]+)` \| [\d.]+ \| (\d+), (\d+), (\d+) \|.*", text := (ROOT / "docs/sizing.md").read_text(encoding="utf-8"), re.MULTILINE)
    sizes = catalogue()
    assert len(sizes) > 10 and [name for name, *_ in lines] == list(sizes)
    for name, *shape in lines:
        assert row(name, sizes[name], *map(int, shape)) in text.splitlines()
