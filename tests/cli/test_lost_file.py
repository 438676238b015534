"""Files that a server has mapped and somebody takes away, cuts off or replaces while it serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import MODEL, SLOW, Server

GREEDY = {"temperature": 0, "max_tokens": 4, "ignore_eos": True}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(MODEL, tmp_path / "copy.gguf"))


@pytest.fixture
def start(model: Path, tmp_path: Path) -> Callable[..., Server]:
    """A server of the copy."""
    return lambda *flags: Server(tmp_path / "log", "--threads", "2", "--kv-tokens", "1024", *flags, model=model).wait_ready()


def said(server: Server) -> dict[str, Any]:
    return server.generate("The harbour", **GREEDY)


@pytest.mark.parametrize("flags", [[], ["--packed-cache"]], ids=["file", "image"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_cut_off(flags: list[str], form: str, start: Callable[..., Server], model: Path, tmp_path: Path) -> None:
    """It ends with a word, not by a signal."""
    folder = [str(tmp_path / "packed")] if flags else []
    if flags:
        start(*flags, *folder).close()  # writes the image that the next one maps
    lost = next((tmp_path / "packed").glob("*.pack"), None) if flags else model
    if lost is None:
        pytest.skip("this CPU's kernels need no packing")
    server = start("--log-format", form, *flags, *folder)
    os.truncate(lost, 4096)
    with pytest.raises(OSError):
        said(server)
    assert server.process.wait(20 * SLOW) == 1
    last = server.log.splitlines()[-1]
    assert "file_lost" in last and str(lost) in last and "error" in last


def test_removed_or_replaced(start: Callable[..., Server], model: Path, tmp_path: Path) -> None:
    """Another file of the name is nothing to a server that has opened the old one."""
    start("--packed-cache", str(tmp_path / "packed")).close()
    server = start("--packed-cache", str(tmp_path / "packed"))
    before = said(server)["text"]
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    other.rename(model)
    for image in (tmp_path / "packed").iterdir():
        image.unlink()
    assert said(server)["text"] == before
    server.close()
