"""Model files whose parts do not fit each other are refused by every command that computes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from kit import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))


@pytest.fixture
def few_embeddings(tmp_path: Path) -> Path:
    """A small model whose tokenizer knows more tokens than its embedding has rows."""
    path = tmp_path / "few.gguf"
    maker = [sys.executable, ROOT / "tools/make_model.py", "qwen3", "--tiny", "--type", "q8_0", "--out", path]
    subprocess.run(maker, check=True, stdout=subprocess.DEVNULL)
    data = bytearray(path.read_bytes())
    at = data.index(b"token_embd.weight") + len(b"token_embd.weight")
    n_dims, width, rows = struct.unpack_from("<IQQ", data, at)
    assert n_dims == 2 and rows > 48
    struct.pack_into("<IQQ", data, at, n_dims, width, 48)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("command", ["run", "serve", "text", "greedy"])
def test_more_tokens_than_embeddings(command: str, few_embeddings: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("some words to tokenize\n")
    arguments = {
        "run": ["run", few_embeddings, "--raw", "-p", "some words"],
        "serve": ["serve", "--model", few_embeddings, "--port", "0"],
        "text": ["eval", "--model", few_embeddings, "--text-file", text],
        "greedy": ["eval", "--model", few_embeddings, "--prompt-file", text, "--greedy", "4"],
    }[command]
    done = subprocess.run([CLLM, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "tokens, but the model only 48 embeddings" in done.stderr
