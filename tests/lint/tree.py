"""The files of the source tree, for the checks beside this file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", ".venv", "build", "models", "node_modules", "__pycache__", ".pytest_cache", ".ruff_cache"}

Check = Callable[[Path], Iterator[str]]


def files(root: Path, *folders: str) -> Iterator[Path]:
    """Every file below the folders (the whole tree without one), in a fixed order.

    `.git` is a folder in a clone and a file in a work tree beside it.
    """
    for start in [root / f for f in folders] or [root]:
        for folder, inner, names in os.walk(start):
            inner[:] = sorted(name for name in inner if name not in SKIPPED)
            yield from (Path(folder) / name for name in sorted(names) if name not in SKIPPED)


def c_files(root: Path, *folders: str) -> Iterator[Path]:
    yield from (p for p in files(root, *folders) if p.suffix in (".c", ".h"))


def place(root: Path, path: Path, line: int = 0) -> str:
    return f"{path.relative_to(root)}:{line}" if line else str(path.relative_to(root))


def main(check: Check) -> int:
    """Print what a check finds; the exit status of its script."""
    found = list(check(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
    print("\n".join(found) if found else "nothing found")
    return 1 if found else 0
