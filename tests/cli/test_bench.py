"""`cllm bench` on a tiny model: what it prints, whether its figures agree with each other, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kit import SLOW

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/truth"))

from support import Tiny  # noqa: E402

CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
OPTIONS_DEF = ROOT / "src/cli/options.def"
ENTRY = re.compile(r"^OPT_[A-Z]+\s*\(\s*(\w+),\s*([A-Z_| ]+),", re.MULTILINE)
PHASES = ("qkv", "attention", "output", "ffn", "head", "sampling", "other")


def bench(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(CLLM), "bench", "--log-level", "error", *args]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300 * SLOW, check=False, env={**os.environ, **(env or {})}
    )


@pytest.fixture(scope="module")
def model() -> str:
    return str(Tiny("qwen3", "q4_k").path())


def measure(model: str, *args: str) -> str:
    done = bench("--model", model, *args)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def report(model: str) -> dict[str, Any]:
    options = ("--prompt-tokens", "9", "--output-tokens", "12", "--prefill-tokens", "64")
    return json.loads(measure(model, "--json", "--concurrency", "1,3", *options))


def check_result(r: dict[str, Any], model: dict[str, Any]) -> None:
    """What holds for every measured load."""
    positive = {k: v for k, v in r.items() if isinstance(v, (int, float))}
    for key in ("preemptions", "drafted", "accepted", "inter_token_ms", "sampling_ms"):
        assert positive.pop(key) >= 0, key
    assert all(v > 0 for v in positive.values()), positive
    assert r["rows_per_step"] == pytest.approx(r["rows"] / r["steps"])
    assert sum(r[f"{p}_ms"] for p in PHASES) == pytest.approx(r["step_ms"], rel=0.01)
    assert r["steps"] * r["step_ms"] <= r["seconds"] * 1e3 * 1.05
    logits = r["generated_tokens"]
    assert r["macs"] == pytest.approx(r["rows"] * model["macs_per_row"] + logits * model["macs_per_logit"])
    keys = r["context_mean"] * r["generated_tokens"]
    assert r["bytes"] == pytest.approx(r["steps"] * model["weight_bytes"] + keys * model["kv_bytes_per_token"])
    assert r["ttft_p99_ms"] >= r["ttft_mean_ms"] * 0.999
    assert r["limit_tokens_per_s"] == min(r["mac_limit_tokens_per_s"], r["read_limit_tokens_per_s"])
    by_arithmetic = r["mac_limit_tokens_per_s"] <= r["read_limit_tokens_per_s"]
    assert r["limited_by"] == ("arithmetic" if by_arithmetic else "reading")
    assert r["fraction_of_limit"] == pytest.approx(r["tokens_per_s"] / r["limit_tokens_per_s"])
    seconds = r["macs"] / r["limit_macs_per_s"]
    assert r["mac_limit_tokens_per_s"] * seconds == pytest.approx(r["tokens_per_s"] * r["seconds"])


# ---- what it prints ----


def test_json_is_one_document(report: dict[str, Any]) -> None:
    assert report["model"]["quantization"] and report["threads"] >= 1
    assert report["sampling"] == {
        "temperature": 0.7, "top_p": 0.9, "min_p": 0.0, "top_k": 50, "repetition_penalty": 1.1,
    }  # fmt: skip
    assert [r["concurrency"] for r in report["runs"]] == [1, 3]
    assert [r["requests"] for r in report["runs"]] == [8, 9]  # eight, in whole rounds


def test_kv_type(model: str, report: dict[str, Any]) -> None:
    """q8_0 takes 8.5 bits a number where f16 takes 16, and computes."""
    small = json.loads(measure(model, "--json", "--concurrency", "2", "--output-tokens", "3", "--kv-type", "q8_0"))
    assert small["model"]["kv_bytes_per_token"] * 32 == report["model"]["kv_bytes_per_token"] * 17
    check_result(small["runs"][0], small["model"])


def test_figures_agree(report: dict[str, Any]) -> None:
    for r in report["runs"]:
        check_result(r, report["model"])
        assert (r["prompt_tokens"], r["output_tokens"], r["preemptions"]) == (9, 12, 0)
        assert r["generated_tokens"] == r["requests"] * 12
        wrong_guesses = r["drafted"] - r["accepted"]
        assert r["rows"] == r["requests"] * (9 + 12 - 1) + wrong_guesses  # the last token is not computed
        assert r["tokens_per_s"] == pytest.approx(r["generated_tokens"] / r["seconds"])
        assert r["context_mean"] == pytest.approx(9 + 11 / 2)


def test_one_prompt_alone(report: dict[str, Any]) -> None:
    r = report["prompt"]
    check_result(r, report["model"])
    assert (r["prompt_tokens"], r["rows"], r["generated_tokens"]) == (64, 64, 1)
    assert r["tokens_per_s"] == pytest.approx(64 / r["seconds"])


def test_decoding_alone_as_csv(model: str) -> None:
    # Long enough that the collecting thread, on a busy machine, cannot miss the whole of it.
    options = ("--context", "100", "--output-tokens", "300", "--concurrency", "4", "--prefill-tokens", "0")
    rows = list(csv.DictReader(io.StringIO(measure(model, "--csv", *options))))
    assert len(rows) == 1 and None not in rows[0]
    r = {k: v if k == "limited_by" else float(v) for k, v in rows[0].items()}
    assert (r["concurrency"], r["requests"], r["prompt_tokens"]) == (4, 4, 100)
    assert r["generated_tokens"] == 4 * 300
    assert 100 < r["context_mean"] < 100 + 2 * 300
    assert 3 <= r["rows_per_step"] <= 4  # no prompt is among them
    assert r["fraction_of_limit"] == pytest.approx(r["tokens_per_s"] / r["limit_tokens_per_s"])


def test_table_for_people(model: str) -> None:
    text = measure(
        model, "--concurrency", "2", "--requests", "3", "--output-tokens", "4", "--threads", "1", "--temperature", "0"
    )
    assert "1 compute threads" in text and "temperature 0, top_p 0.9, top_k 50" in text
    assert re.search(r"one prompt of 512 tokens: [\d.]+ tokens/s, [\d.]+ % of what (arithmetic|reading) allows", text)
    lines = text.splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("  at once")]
    assert len(heads) == 2 and all(p in lines[heads[1]] for p in PHASES)
    assert re.match(r" +2 +4 +[\d.]+ ", lines[heads[0] + 1])  # three requests are two rounds of two
    for i in heads:  # numbers stand under the ends of their headings
        assert len(lines[i].split("  limited by")[0]) == len(re.sub(r"  (arithmetic|reading)$", "", lines[i + 1]))


def test_help_lists_every_option() -> None:
    done = bench("--help")
    assert done.returncode == 0 and done.stderr == ""
    for name, commands in ENTRY.findall(OPTIONS_DEF.read_text(encoding="utf-8")):
        listed = f"--{name.replace('_', '-')} " in done.stdout
        assert listed == any(word in commands for word in ("COMMAND_ANY", "COMMAND_EVERY", "COMMAND_BENCH")), name


# ---- what it refuses ----


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--concurrency", "1,x"), 2, "--concurrency: '1,x' is not a list of numbers from 1 to 1024"),
        (("--concurrency", "0"), 2, "'0' is not a list of numbers"),
        (("--concurrency", "1,,2"), 2, "'1,,2' is not a list of numbers"),
        (("--concurrency", ""), 2, "'' is not a list of numbers"),
        (("--concurrency", "1025"), 2, "'1025' is not a list of numbers"),
        (("--concurrency", ",".join(["1"] * 33)), 2, "at most 32 numbers"),
        (("--output-tokens", "0"), 2, "--output-tokens: 0 is out of range"),
        (("--prompt-tokens", "many"), 2, "--prompt-tokens: 'many' is not a whole number"),
        (("--json", "--csv"), 2, "--json and --csv: give one of them"),
        (("--context", "8", "--requests", "9"), 2, "take --requests out"),
        (("--prompt-tokens", "2048"), 1, "up to 2098 tokens; a sequence may have 2048"),
        (("--prefill-tokens", "2048"), 1, "up to 2049 tokens; a sequence may have 2048"),
        (("--context", "9", "--concurrency", "65"), 1, "the engine runs 64 (--max-running)"),
        (("--context", "1000", "--kv-tokens", "4096"), 1, "tokens in the KV pool (--kv-tokens), which has 4096"),
        (("--kv-tokens", "64"), 1, "up to 81 tokens; a sequence may have 64"),
    ],
)
def test_refusals(model: str, args: tuple[str, ...], code: int, message: str) -> None:
    done = bench("--model", model, *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("cllm bench: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_no_model() -> None:
    done = bench()
    assert done.returncode == 1 and "no model is named" in done.stderr
