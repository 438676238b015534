"""A tiny model and the library of faults, once for all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from faults import Faults, build_library
from kit import CLLM, ROOT


@pytest.fixture(scope="session", autouse=True)
def _allocator_of_libc() -> None:
    if CLLM.parent.name != "release":
        pytest.skip("a sanitizer has an allocator of its own")


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
