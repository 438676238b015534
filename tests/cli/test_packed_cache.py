"""Packed weights kept in a folder: the same logits without it, at the first start, at later ones, and after damage."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit import MODEL, SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
TOKENS = "1,5,9,200,31,77,4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    maker = [sys.executable, ROOT / "tools/make_model.py", "qwen3", "--tiny", "--type", "q4_k_m", "--out", path]
    subprocess.run(maker, check=True, stdout=subprocess.DEVNULL)
    return path


class Start:
    """One `cllm eval`: its logits, and what the log says of the image."""

    def __init__(self, model: Path, folder: Path | None, rung: str = "", max_file: int = 0) -> None:
        out = model.with_suffix(".f32")
        command = [CLLM, "eval", "--model", model, "--tokens", TOKENS, "--logits", out, "--log-level", "info"]
        if folder:
            command += ["--packed-cache", folder]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120 * SLOW,
            check=False,
            env={**os.environ, **({"CLLM_CPU": rung} if rung else {})},
            preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (max_file,) * 2)) if max_file else None,
        )
        assert done.returncode == 0, done.stderr
        line = re.search(r" (\w+) +model_loaded .* packed_cache=(\w+)(.*)", done.stderr)
        assert line, done.stderr
        self.level, self.outcome, self.why = line.groups()
        self.logits = out.read_bytes()


def has_panels() -> bool:
    said = subprocess.run([CLLM, "--version"], capture_output=True, text=True, check=True).stdout
    return "CPU scalar" not in said


def test_same_logits(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    plain = Start(model, None)
    assert plain.outcome == "off"
    assert plain.logits.strip(b"\0")
    if not has_panels():
        assert Start(model, folder).outcome == "unused"
        return
    first, second = Start(model, folder), Start(model, folder)
    assert (first.level, first.outcome) == ("info", "written")
    assert (second.level, second.outcome) == ("info", "used")
    (image,) = folder.iterdir()
    good = image.read_bytes()
    for at, why in ((8, "version"), (16, "another model"), (len(good) - 4097, "checksum")):
        bad = bytearray(good)
        bad[at] ^= 1
        image.write_bytes(bad)
        damaged = Start(model, folder)
        assert (damaged.level, damaged.outcome) == ("warn", "replaced")
        assert why in damaged.why
        assert image.read_bytes() == good
        assert damaged.logits == plain.logits
    assert first.logits == second.logits == plain.logits == Start(model, folder).logits


def test_rungs_share_an_image(model: Path, tmp_path: Path) -> None:
    plain = Start(model, None).logits
    scalar = Start(model, tmp_path, "scalar")
    assert (scalar.outcome, scalar.logits) == ("unused", plain)
    assert not list(tmp_path.iterdir())
    if not has_panels():
        return
    assert Start(model, tmp_path).outcome == "written"
    lower = Start(model, tmp_path, "avx2")
    assert (lower.outcome, lower.logits) == ("used", plain)


def test_failed_write_is_a_warning(model: Path, tmp_path: Path) -> None:
    if not has_panels():
        pytest.skip("this CPU's kernels need no packing")
    plain = Start(model, None).logits
    full = Start(model, tmp_path, max_file=1 << 20)
    assert (full.level, full.outcome, full.logits) == ("warn", "not_written", plain)
    assert "File too large" in full.why
    assert not list(tmp_path.iterdir())
    nowhere = Start(model, tmp_path / "no" / "folder")
    assert (nowhere.outcome, nowhere.logits) == ("not_written", plain)


STOPPED = [
    (["serve", "--port", "0"], signal.SIGTERM, 0),
    (["run", "-p", "Hello", "-n", "1"], signal.SIGINT, 130),
    (["bench", "--concurrency", "1"], signal.SIGTERM, 130),
    (["eval", "--tokens", TOKENS], signal.SIGINT, 130),
]


@pytest.mark.parametrize(("words", "number", "code"), STOPPED, ids=[one[0][0] for one in STOPPED])
def test_stopped_while_it_loads(words: list[str], number: int, code: int, tmp_path: Path) -> None:
    """A signal ends it at once and in order: nothing is left of an image that is being written."""
    if not has_panels():
        pytest.skip("this CPU's kernels need no packing")
    command = [CLLM, words[0], "--model", MODEL, "--packed-cache", tmp_path, *words[1:]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60 * SLOW
    while not list(tmp_path.glob("*.tmp")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate(timeout=20 * SLOW)
    assert process.returncode == code, said
    assert not list(tmp_path.glob("*.tmp"))
    assert code == 0 or said.splitlines()[-1] == f"cllm {words[0]}: interrupted"
