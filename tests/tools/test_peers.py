"""bench/peers.py with small fake servers: who is chosen, what is measured, what counts, what is written."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_server import PROMPT_TOKENS

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "bench")]

import peers  # noqa: E402
from peerlib import runner  # noqa: E402
from peerlib.contenders import Contender, Job, all_contenders  # noqa: E402
from peerlib.table import middle, ratios, span  # noqa: E402

# Arguments: port, behaviour. A server in a process of its own, as the real ones are.
FAKE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fake_server
port, mode = int(sys.argv[1]), sys.argv[2]
if mode == "dies":
    sys.exit("no such model")
class Handler(fake_server._Handler):
    fake = fake_server.FakeServer("openai", lambda _index: mode, delay=0.03)
fake_server._Server(("127.0.0.1", port), Handler).serve_forever()
"""


def fake(name: str, mode: str = "good", ours: bool = False, ports: list[int] | None = None) -> Contender:
    def command(job: Job) -> list[str]:
        if ports is not None:
            ports.append(job.port)
        return [sys.executable, "-c", FAKE, str(job.port), mode]

    return Contender(name, command, "/v1/models", f"{name} 1", ours=ours)


def compare(tmp_path: Path, contenders: list[Contender], *more: str) -> tuple[int, dict[str, Any], str]:
    """A small run: exit status, result, page."""
    model = tmp_path / "m.gguf"
    model.touch()
    out, page = tmp_path / "out/r.json", tmp_path / "out/r.md"
    args = peers.build_parser().parse_args(["--model", str(model), "--requests", "6", "--max-tokens", "5",
                                            "--concurrency", "1,3", "--rounds", "2", "--output", str(out),
                                            "--markdown", str(page), *more])
    code = peers.compare(args, contenders)
    return code, json.loads(out.read_text(encoding="utf-8")), page.read_text(encoding="utf-8")


def test_takes_turns_and_compares(tmp_path: Path) -> None:
    ports: list[int] = []
    absent = dataclasses.replace(fake("absent"), version=None, note="only source")
    code, result, page = compare(tmp_path, [fake("cllm", ours=True, ports=ports), fake("slow", "slow"), absent], "--stream")
    assert code == 0
    turns = [(s["round"], s["concurrency"], s["server"]) for s in result["samples"]]
    assert turns == [(r, c, n) for r in (1, 2) for c in (1, 3) for n in ("cllm", "slow")]
    assert len(set(ports) - {0}) >= 2 and ports.count(0) == 1  # a server a test; port 0 is the shown command
    for sample in result["samples"]:
        assert sample["good"] and sample["error"] is None
        assert sample["whole"]["exact_token_requests"] == 6 and sample["streamed"]["ttft"]["p99"] > 0
        assert sample["seconds_to_healthy"] > 0 and sample["peak_memory_mib"] > 1
        assert sample["foreign_cores"] >= 0
    cell = result["summary"]["3"]["cllm"]
    assert len(cell["throughput"]["values"]) == 2 and cell["bad_samples"] == 0
    assert cell["prompt_tokens"] == [6 * PROMPT_TOKENS]
    assert 0 < cell["client_cpu_percent"]["median"] < 100
    assert result["ratios"]["1"]["best_peer"] == "slow" and result["ratios"]["1"]["ratio"] > 1
    assert result["servers"]["absent"]["version"] is None and "only source" in page
    assert "| 3 |" in page and "(slow)" in page and str(tmp_path) not in page + json.dumps(result)


def test_every_server_is_gone_afterwards(tmp_path: Path) -> None:
    ports: list[int] = []
    compare(tmp_path, [fake("cllm", ours=True, ports=ports)])
    for port in filter(None, ports):
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            pass


@pytest.mark.parametrize("mode", ["short", "stop", "http500", "dies"])
def test_inexact_and_failing_servers_do_not_count(mode: str, tmp_path: Path) -> None:
    code, result, page = compare(tmp_path, [fake("cllm", ours=True), fake("bad", mode)], "--rounds", "1")
    assert code == 1
    bad = [s for s in result["samples"] if s["server"] == "bad"]
    assert not any(s["good"] for s in bad)
    assert (mode == "dies") == ("no such model" in (bad[0]["error"] or ""))
    assert result["summary"]["1"]["bad"]["throughput"] is None and result["ratios"] == {}
    assert "[1 of 1 failed]" in page


def test_requests_ask_for_the_same_from_everybody() -> None:
    options = runner.Options("openai", "http://127.0.0.1:1", endpoint="completions", stream=True)
    fields = runner.ExactProtocol(options).fields("x", 50, 3)
    assert fields["ignore_eos"] is True and fields["seed"] == 3 and fields["max_tokens"] == 50
    assert (fields["top_k"], fields["top_p"], fields["min_p"]) == (40, 0.95, 0.0)


def test_choice() -> None:
    absent = dataclasses.replace(fake("absent"), version=None, note="only source")
    extra = dataclasses.replace(fake("extra"), optional=True)
    servers = [fake("cllm", ours=True), absent, extra]
    assert [c.name for c in peers.choose(servers, None)] == ["cllm"]
    assert [c.name for c in peers.choose(servers, "extra,cllm,extra")] == ["extra", "cllm"]
    with pytest.raises(ValueError, match="no server is called"):
        peers.choose(servers, "nobody")
    with pytest.raises(ValueError, match="only source"):
        peers.choose(servers, "absent")


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = peers.build_parser().parse_args(["--model", str(tmp_path / "none.gguf")])
    assert peers.compare(args, [fake("cllm")]) == 2
    assert "make models" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        peers.build_parser().parse_args(["--concurrency", "8,0"])


def test_commands_of_the_real_ones(tmp_path: Path) -> None:
    """Nothing is installed in this empty environment: everything is absent, and its command is still right."""
    contenders = {c.name: c for c in all_contenders(tmp_path / "cllm", tmp_path / "bin/python", tmp_path / "native")}
    assert all(c.version is None and c.note for c in contenders.values())
    job = Job(tmp_path / "m.gguf", 1234, 2, 16, tmp_path)
    assert contenders["llama.cpp-avx2"].command(job)[-4:] == ["1234", "2", "16", "4096"]
    for name in ("llama.cpp", "ik_llama.cpp"):
        command = contenders[name].command(job)
        given = dict(zip(command, command[1:]))
        assert (given["--threads"], given["--parallel"], given["--ctx-size"]) == ("2", "16", "4096")
    assert "off" in contenders["ik_llama.cpp"].command(job) and "on" in contenders["ik_llama.cpp"].command(
        dataclasses.replace(job, concurrency=1))  # flash attention
    assert {name for name, c in contenders.items() if c.optional} == {
        "cllm-avx2", "llama.cpp-avx2", "ik_llama.cpp-avx2", "llama.cpp-passive"}
    assert contenders["cllm-avx2"].start_environment(job)["CLLM_CPU"] == "avx2"
    job.model.touch()
    (tmp_path / "scratch").mkdir()
    apart = dataclasses.replace(job, scratch=tmp_path / "scratch")
    contenders["dasllama"].prepare(apart)
    contenders["dasllama"].prepare(apart)
    assert (tmp_path / "scratch/m.gguf").resolve() == job.model.resolve()


def test_a_native_peer_is_there_once_it_is_built(tmp_path: Path) -> None:
    def version() -> str | None:
        return {c.name: c for c in all_contenders(tmp_path, tmp_path, tmp_path)}["llama.cpp"].version

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/llama-server").touch()
    assert version() is None  # its build has not ended
    (tmp_path / "llama-server.version").write_text("xllamacpp 1.2\n")
    assert version() == "xllamacpp 1.2, built here"


def test_arithmetic(tmp_path: Path) -> None:
    assert middle([3.0, None, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "values": [3.0, 1.0, 2.0]}
    assert middle([None]) is None and span(None, 1) == "n/a"
    assert span(middle([1.0, 2.0, 4.0]), 1) == "2.0 (1.0–4.0)" and span(middle([1.26]), 1) == "1.3"
    cells = {name: {"throughput": middle([value])} for name, value in (("cllm", 90.0), ("a", 30.0), ("b", 45.0))}
    assert ratios({"8": cells}, "cllm", ["a", "b"]) == {"8": {"best_peer": "b", "ratio": 2.0}}
    assert runner.peak_memory_mib(os.getpid()) > 1 and runner.process_cpu(os.getpid()) >= 0
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 200 300 9999 9999 10 20 70 0 0\n")
    assert runner.machine_cpu(str(stat)) == 700 / os.sysconf("SC_CLK_TCK")
