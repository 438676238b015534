"""tools/unified_benchmark.py against a fake server of each kind, and its arithmetic on made-up times."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_server import PROMPT_TOKENS, FakeServer

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from benchlib.options import Options, parse_options  # noqa: E402
from benchlib.progress import PlainBar  # noqa: E402
from benchlib.prompts import DEFAULT_PROMPTS, load_prompts  # noqa: E402
from benchlib.result import RequestRecord, log_lines  # noqa: E402
from benchlib.stats import percentile, summarise  # noqa: E402

KINDS = ("cllm", "ollama", "openai")
PHASE_NAMES = ["total_requests", "successful_requests", "failed_requests", "avg_response_time",
               "min_response_time", "max_response_time", "avg_throughput", "avg_tokens_per_second",
               "total_tokens_processed", "total_generated_tokens", "avg_generated_tokens", "total_test_time"]
TOP_NAMES = ["test_time", "server_type", "server_url", "model", "requests", "concurrency", "max_tokens",
             "sequential", "concurrent"]


def bench(url: str, kind: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the tool as a user does; -S hides everything but the standard library."""
    command = [sys.executable, "-S", "-E", str(TOOLS / "unified_benchmark.py"), "--server-type", kind,
               "--server-url", url, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def measure(server: FakeServer, tmp_path: Path, *more: str) -> tuple[int, dict[str, Any], list[Any]]:
    """A concurrent test of 12 requests of 5 tokens without warm-up: exit status, result, request log."""
    out = tmp_path / "r.json"
    done = bench(server.url, server.kind, "--test-type", "api-concurrent", "--requests", "12",
                 "--concurrency", "3", "--max-tokens", "5", "--warmup", "0", "--output-file", str(out), *more)
    assert out.exists(), done.stderr
    log = (tmp_path / "r.requests.jsonl").read_text(encoding="utf-8").splitlines()
    return done.returncode, json.loads(out.read_text(encoding="utf-8")), [json.loads(line) for line in log]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
def test_all_succeed(kind: str, stream: bool, tmp_path: Path) -> None:
    with FakeServer(kind) as server:
        code, result, log = measure(server, tmp_path, *(["--stream"] if stream else []))
    assert code == 0
    assert list(result)[:9] == TOP_NAMES
    phase = result["concurrent"]
    assert list(phase)[:12] == PHASE_NAMES
    assert result["sequential"] is None and result["model"] == f"fake-{kind}"
    assert result["request_log"] == "r.requests.jsonl"
    assert (phase["successful_requests"], phase["failed_requests"]) == (12, 0)
    assert phase["total_generated_tokens"] == 60 and phase["exact_token_requests"] == 12
    assert phase["total_prompt_tokens"] == 12 * PROMPT_TOKENS
    assert phase["total_tokens_processed"] == 60 + 12 * PROMPT_TOKENS
    assert phase["avg_throughput"] == pytest.approx(60 / phase["total_test_time"], rel=1e-3)
    assert (phase["ttft"] is not None) is stream and (phase["inter_token_latency"] is not None) is stream
    assert [line["index"] for line in log] == list(range(12))
    assert [line["prompt_index"] for line in log] == [i % 5 for i in range(12)]
    assert all(line["status"] == 200 and line["tokens"] == 5 and line["error"] is None for line in log)
    assert all((line["ttft"] is not None) is stream and line["end"] > line["start"] >= 0 for line in log)
    assert max(r["end"] for r in log) - min(r["start"] for r in log) == pytest.approx(
        phase["total_test_time"], abs=1e-5)
    assert server.connections <= 3 + 1  # keep-alive: a connection a worker, one for the health check


BAD = {"http500": "HTTP 500: boom", "short": "4 of 5 tokens", "long": "6 tokens, more than",
       "uncounted": "no token count", "garbage": "not a valid reply", "drop": "closed the connection"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [*BAD, "error200"])
def test_failures_are_failures(kind: str, mode: str, tmp_path: Path) -> None:
    with FakeServer(kind, lambda i: mode if i % 4 == 0 else "good") as server:
        code, result, log = measure(server, tmp_path)
    phase = result["concurrent"]
    assert code == 1
    assert (phase["successful_requests"], phase["failed_requests"]) == (9, 3)
    assert phase["total_generated_tokens"] == 45
    (error, count), = phase["errors"].items()
    expected = BAD.get(mode) or ("Error: no slot" if kind == "cllm" else "no slot")
    assert count == 3 and expected in error
    assert sum(line["error"] is not None for line in log) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["http500", "short", "cut"])
def test_stream_failures(kind: str, mode: str, tmp_path: Path) -> None:
    with FakeServer(kind, lambda i: mode if i < 2 else "good") as server:
        code, result, _ = measure(server, tmp_path, "--stream")
    assert code == 1 and result["concurrent"]["failed_requests"] == 2


def test_fewer_tokens_with_a_stop_are_a_success(tmp_path: Path) -> None:
    with FakeServer("cllm", lambda i: "stop" if i < 5 else "good") as server:
        code, result, _ = measure(server, tmp_path)
    assert code == 0
    assert result["concurrent"]["exact_token_requests"] == 7
    assert result["concurrent"]["total_generated_tokens"] == 5 * 4 + 7 * 5


def test_slow_server_times_out(tmp_path: Path) -> None:
    with FakeServer("cllm", lambda i: "slow" if i == 0 else "good", delay=600) as server:
        code, result, log = measure(server, tmp_path, "--timeout", "3")
    assert code == 1 and list(result["concurrent"]["errors"]) == ["timeout: no reply within 3 s"]
    late = [line for line in log if line["error"]]
    assert len(late) == 1 and late[0]["status"] is None and 3 <= late[0]["end"] - late[0]["start"] < 600


def test_latency_is_real_time(tmp_path: Path) -> None:
    with FakeServer("cllm", lambda _i: "slow", delay=0.1) as server:
        _, result, _ = measure(server, tmp_path)
    phase = result["concurrent"]
    assert 0.1 <= phase["min_response_time"] <= phase["p50_response_time"] <= phase["max_response_time"]
    assert phase["total_test_time"] >= 0.4  # 12 requests, 3 at a time


def test_connection_refused() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound but not listening
        done = bench(f"http://127.0.0.1:{probe.getsockname()[1]}", "cllm")
    assert done.returncode == 3
    assert "connection refused" in done.stderr and "--server-url" in done.stderr


@pytest.mark.parametrize(("status", "words"), [(503, "loading"), (401, "--api-key"), (404, "--server-type")])
def test_unhealthy(status: int, words: str) -> None:
    with FakeServer("cllm", health=status) as server:
        done = bench(server.url, "cllm")
        assert not server.requests
    assert done.returncode == 3 and words in done.stderr and "Remedy" in done.stderr


def test_all_tests_warmup_seed_key_and_summary() -> None:
    with FakeServer("openai") as server:
        done = bench(server.url + "/v1", "openai", "--requests", "6", "--max-tokens", "9", "--seed", "40",
                     "--api-key", "secret", "--endpoint", "completions", "--model", "m", "--warmup", "2")
    assert done.returncode == 0, done.stderr
    assert len(server.requests) == 2 + 6 + 6
    assert all(path == "/v1/completions" for path, _, _ in server.requests)
    assert all(headers["Authorization"] == "Bearer secret" for _, _, headers in server.requests)
    bodies = [body for _, body, _ in server.requests]
    assert [body["max_tokens"] for body in bodies] == [8] * 2 + [9] * 12
    assert bodies[0]["prompt"] not in DEFAULT_PROMPTS
    assert [body["seed"] for body in bodies[2:8]] == list(range(40, 46))
    assert [body["prompt"] for body in bodies[2:8]] == [*DEFAULT_PROMPTS, DEFAULT_PROMPTS[0]]
    assert all(body["temperature"] == 0.7 and body["model"] == "m" for body in bodies)
    for words in ("sequential test", "concurrent test", "Successful requests:   6", "Throughput:"):
        assert words in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_usage_errors(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n", encoding="utf-8")
    for more in (["--requests", "0"], ["--timeout", "nan"], ["--prompts-file", str(empty)],
                 ["--prompts-file", str(tmp_path / "none")], ["--output-file", str(tmp_path)]):
        assert bench("http://127.0.0.1:9", "cllm", *more).returncode == 2
    assert bench("localhost:8080", "cllm").returncode == 2


def test_defaults() -> None:
    assert parse_options(["--server-type", "cllm"]) == Options("cllm", "http://localhost:8080")
    assert parse_options(["--server-type", "ollama"]).server_url == "http://localhost:11434"
    options = parse_options(["--server-type", "cllm", "--output-file", "a/b.json"])
    assert Path(options.request_log or "") == Path("a/b.requests.jsonl")


def test_prompts(tmp_path: Path) -> None:
    assert len(load_prompts(None)) == len(set(DEFAULT_PROMPTS)) == 5
    assert all(prompt.endswith("。") and prompt.count("。") == 1 for prompt in DEFAULT_PROMPTS)
    path = tmp_path / "p.txt"
    path.write_text("一\n\n two \n", encoding="utf-8")
    assert load_prompts(str(path)) == ["一", "two"]


def test_arithmetic() -> None:
    records = [
        RequestRecord(0, 0, 10.0, 12.0, status=200, tokens=50, prompt_tokens=3, ttft=0.5, gaps=[0.1]),
        RequestRecord(1, 1, 10.5, 14.5, status=200, tokens=40, prompt_tokens=5, ttft=1.5, gaps=[0.3]),
        RequestRecord(2, 2, 12.0, 20.0, status=500, tokens=99, error="HTTP 500: boom"),
    ]
    phase = summarise(records, 50)
    assert phase.total_test_time == 10.0
    assert phase.avg_throughput == 9.0  # 90 tokens of the two successes in 10 s
    assert (phase.avg_response_time, phase.min_response_time, phase.max_response_time) == (3.0, 2.0, 4.0)
    assert phase.avg_tokens_per_second == 17.5  # (25 + 10) / 2
    assert phase.avg_generated_tokens == 45.0 and phase.exact_token_requests == 1
    assert phase.total_prompt_tokens == 8 and phase.total_tokens_processed == 98
    assert phase.ttft is not None and phase.ttft.avg == 1.0 and phase.ttft.p50 == 1.0
    assert phase.inter_token_latency is not None and phase.inter_token_latency.p90 == 0.28
    assert phase.errors == {"HTTP 500: boom": 1}
    assert json.loads(log_lines("concurrent", records)[1])["start"] == 0.5


def test_nothing_succeeded() -> None:
    phase = summarise([RequestRecord(0, 0, 1.0, 1.0, error="x")], 50)
    assert (phase.avg_throughput, phase.avg_response_time, phase.p99_response_time) == (0.0, 0.0, None)


def test_percentile() -> None:
    assert [percentile([1, 2, 3, 4, 5], p) for p in (0, 50, 90, 100)] == pytest.approx([1, 3, 4.6, 5])
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError):
        percentile([], 50)


def test_plain_bar() -> None:
    out = io.StringIO()
    bar = PlainBar(4, "test", out)
    for _ in range(4):
        bar.update(1)
    bar.close()
    assert out.getvalue().count("\r") == 2  # drawn at once and at the end, not for every request
    assert out.getvalue().endswith("4/4 0s\n")
