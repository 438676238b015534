"""`cllm inspect` compared with the reference reader, and its messages for bad files."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kit import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
MODELS = ["smollm2-135m-instruct-q4_1.gguf", "qwen3-0.6b-q4_k_m.gguf"]
FETCH_AGAIN = "the download may be incomplete: fetch it again"


def inspect(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(CLLM), "inspect", *map(str, args)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="strict", timeout=PATIENCE_S, check=False)


def inspect_json(path: Path, *args: str) -> dict[str, Any]:
    done = inspect(path, "--json", *args)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def model_path(name: str) -> Path:
    path = ROOT / "models" / name
    if not path.exists():
        pytest.fail(f"{name} is not here: run `make models`", pytrace=False)
    return path


def gguf_string(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def gguf_file(pairs: list[bytes]) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_the_reference_reader(name: str) -> None:
    gguf = pytest.importorskip("gguf")
    path = model_path(name)
    doc = inspect_json(path)
    reader = gguf.GGUFReader(path)
    fields = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}

    assert doc["bytes"] == path.stat().st_size
    assert doc["version"] == reader.fields["GGUF.version"].contents()
    assert doc["architecture"] == fields["general.architecture"]
    assert doc["name"] == fields["general.name"]
    assert list(doc["metadata"]) == list(fields)
    for key, want in fields.items():
        got = doc["metadata"][key]
        if isinstance(want, list) and len(want) > 64:
            assert got["n"] == len(want), key
            assert got["first"] == want[:8], key
        else:
            assert got == want, key

    got_tensors = [(t["name"], t["type"], t["shape"], t["bytes"]) for t in doc["tensors"]]
    want_tensors = [
        (t.name, t.tensor_type.name, [int(d) for d in t.shape], int(t.n_bytes)) for t in reader.tensors
    ]
    assert got_tensors == want_tensors
    assert doc["parameters"] == sum(int(t.n_elements) for t in reader.tensors)
    assert sum(t["tensors"] for t in doc["types"]) == len(want_tensors)
    assert sum(t["bytes"] for t in doc["types"]) == sum(t[3] for t in want_tensors)


def test_sections() -> None:
    path = model_path(MODELS[0])
    assert list(inspect_json(path, "--metadata")) == ["metadata"]
    assert list(inspect_json(path, "--tensors")) == ["tensors"]
    whole = inspect(path).stdout
    tensors = inspect(path, "--tensors").stdout
    metadata = inspect(path, "--metadata").stdout
    assert whole.endswith(f"\n\n{metadata}\n{tensors}")
    assert whole.startswith("file ")


def test_text_shows_the_essentials() -> None:
    text = inspect(model_path(MODELS[0])).stdout
    for part in ["GGUF v3", "llama", "Q4_1 ", "134515008", 'string[49152]  "<|endoftext|>"', "576 × 49152"]:
        assert part in text
    assert max(len(line) for line in text.splitlines()) < 400


def test_hostile_strings(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    value = b"\x1b[2J\x00\xff\xc2\x9b\n" + "é".encode() * 100
    path.write_bytes(gguf_file([gguf_string(b"k\x1b\xfe") + struct.pack("<I", 8) + gguf_string(value)]))
    text = inspect(path, "--metadata").stdout
    assert "k\\x1b\ufffd" in text
    assert "\\x1b[2J\\x00\ufffd\\u009b\\né" in text
    assert text.endswith("…\n")
    assert all(c.isprintable() or c == "\n" for c in text)
    assert inspect_json(path)["metadata"] == {"k\x1b\ufffd": value.decode(errors="replace")}


def test_numbers_that_json_lacks(tmp_path: Path) -> None:
    path = tmp_path / "numbers.gguf"
    pairs = [
        gguf_string(b"big") + struct.pack("<IQ", 10, 2**64 - 1),
        gguf_string(b"nan") + struct.pack("<If", 6, float("nan")),
        gguf_string(b"inf") + struct.pack("<Id", 12, float("-inf")),
        gguf_string(b"none") + struct.pack("<IIQ", 9, 4, 0),
    ]
    path.write_bytes(gguf_file(pairs))
    doc = inspect_json(path)
    assert doc["metadata"] == {"big": str(2**64 - 1), "nan": "nan", "inf": "-inf", "none": []}
    assert doc["architecture"] is None
    assert "(not given)" in inspect(path).stdout


BAD_FILES = {
    "empty": (b"", "the file is empty"),
    "zip": (b"PK\x03\x04" + bytes(40), "not a GGUF file: it starts with 'PK\\x03\\x04'"),
    "page": (b"<html>", "web page"),
    "cut": (gguf_file([])[:20], FETCH_AGAIN),
    "counts": (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**63), FETCH_AGAIN),
    "big_endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "version_1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1 is too old"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name: str, tmp_path: Path) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / f"{name}.gguf"
    path.write_bytes(content)
    check_failure(path, message)


def test_bad_paths(tmp_path: Path) -> None:
    check_failure(tmp_path, "is a directory")
    check_failure(tmp_path / "missing.gguf", "no such file")


def test_truncated_model(tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    with model_path(MODELS[0]).open("rb") as whole:
        path.write_bytes(whole.read(4_000_000))
    check_failure(path, FETCH_AGAIN)


def check_failure(path: Path, message: str) -> None:
    done = inspect(path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"cllm inspect: {path}: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("args", [[], ["--no-such-option", "x"], ["a", "b"]])
def test_wrong_usage(args: list[str]) -> None:
    done = inspect(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cllm inspect: ")


def test_help() -> None:
    done = inspect("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: cllm inspect MODEL")
