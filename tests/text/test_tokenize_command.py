"""`cllm tokenize` as a person and as a script use it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from kit import SLOW

sys.path.insert(0, str(Path(__file__).parent))
from gguf_meta import write_metadata  # noqa: E402
from tokenize_bulk import CLLM  # noqa: E402

HELLO = 7


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tokens = ["h", "e", "l", "o", "he", "ll", "hell", "hello", "Ċ", "ÿ", "<|im_end|>"]
    write_metadata(
        tmp_path / "vocab.gguf",
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [1] * 10 + [3],
            "tokenizer.ggml.merges": ["h e", "l l", "he ll", "hell o"],
            "tokenizer.ggml.eos_token_id": 10,
            "tokenizer.ggml.add_eos_token": True,
        },
    )
    return tmp_path / "vocab.gguf"


def tokenize(*args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(CLLM), "tokenize", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60 * SLOW, check=False)


def test_a_table_for_people(model: Path) -> None:
    done = tokenize("--model", model, "--special", "hello\n<|im_end|>")
    assert done.returncode == 0, done.stderr
    assert [line.strip() for line in done.stdout.splitlines()] == [
        "7  'hello'",
        r"8  '\n'",
        "10  '<|im_end|>'  control",
        "3 tokens",
    ]


@pytest.mark.parametrize(
    ("options", "text", "ids"),
    [
        ([], "hello", [HELLO]),
        (["--bos-eos"], "hello", [HELLO, 10]),
        (["--special"], "<|im_end|>", [10]),
        ([], "", []),
        (["--"], "--hello", [HELLO]),
    ],
)
def test_json(model: Path, options: list[str], text: str, ids: list[int]) -> None:
    done = tokenize(f"--model={model}", "--json", *options, text)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ids


def test_decode_shows_control_tokens_only_when_asked(model: Path) -> None:
    assert tokenize("--model", model, "--decode", "[7, 10]").stdout == "hello\n"
    assert tokenize("--model", model, "--decode", "--special", "7 10").stdout == "hello<|im_end|>\n"


def test_lines(model: Path) -> None:
    texts = [b"hello", b"", b"\xff", b"hell\xff"]
    lines = "".join(base64.b64encode(t).decode() + "\n" for t in texts)
    done = tokenize("--model", model, stdin=lines)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[HELLO], [], [9], [6, 9]]
    back = tokenize("--model", model, "--decode", stdin=done.stdout)
    assert [base64.b64decode(line) for line in back.stdout.split("\n")[:-1]] == texts


def test_bench(model: Path) -> None:
    done = tokenize("--model", model, "--bench", stdin="aGVsbG8=\n" * 3)
    result = json.loads(done.stdout)
    assert (result["lines"], result["bytes"], result["tokens"]) == (3, 15, 3)


@pytest.mark.parametrize(
    ("args", "stdin", "code", "says"),
    [
        ([], "", 2, "--model MODEL is missing"),
        (["--model"], "", 2, "--model wants a value"),
        (["--model", "MODEL", "--nope"], "", 2, "unknown option --nope"),
        (["--model", "MODEL", "a", "b"], "", 2, "unexpected argument 'b'"),
        (["--model", "MODEL", "--bench", "a"], "", 2, "--bench takes lines"),
        (["--model", "/nowhere.gguf", "a"], "", 1, "/nowhere.gguf"),
        (["--model", "MODEL", "--decode", "11"], "", 1, "token 11 is not in the vocabulary (0 … 10)"),
        (["--model", "MODEL", "--decode", "7 x"], "", 1, "'x' is not a token id"),
        (["--model", "MODEL"], "aGVsbG8=\n???\n", 1, "line 2: not base64"),
    ],
)
def test_messages(model: Path, args: list[str], stdin: str, code: int, says: str) -> None:
    done = tokenize(*[str(model) if a == "MODEL" else a for a in args], stdin=stdin)
    assert done.returncode == code
    assert says in done.stderr


def test_help() -> None:
    done = tokenize("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: cllm tokenize")
