"""A tiny model and the library of faults, once for all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))

from faults import Faults, build_library  # noqa: E402
from kit import CLLM  # noqa: E402

if CLLM.parent.name != "release":  # a sanitizer has an allocator of its own
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    maker = [sys.executable, str(ROOT / "tools/make_model.py"), "llama", "--tiny", "--type", "q8_0", "--out", str(path)]
    subprocess.run(maker, check=True, capture_output=True)
    return path


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("fault"))


@pytest.fixture
def faults(library: Path, tmp_path: Path) -> Faults:
    return Faults(library, tmp_path / "page")
