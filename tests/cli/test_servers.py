"""`cllm ps` and `cllm stop`: running servers are listed and ended, those that were killed are forgotten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from kit import PATIENCE_S, SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
SMOLLM2 = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"


@dataclass
class Machine:
    """Servers that know only of each other, by a runtime folder of their own."""

    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def env(self) -> dict[str, str]:
        return {**os.environ, "XDG_RUNTIME_DIR": str(self.folder)}

    def cllm(self, *args: str) -> subprocess.CompletedProcess[str]:
        command = [str(CLLM), *args]
        return subprocess.run(command, capture_output=True, text=True, env=self.env(), timeout=PATIENCE_S, check=False)

    def serve(self, *args: str, model: str | Path = SMOLLM2) -> subprocess.Popen[bytes]:
        command = [str(CLLM), "serve", str(model), "--port", "0", "--threads", "1", "--kv-tokens", "4096", *args]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env())
        self.started.append(process)
        assert process.stdout is not None and process.stdout.readline().startswith(b"cLLM serves")
        return process

    def listed(self) -> list[dict[str, object]]:
        done = self.cllm("ps", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def files(self) -> set[str]:
        return {path.name for path in (self.folder / "cllm").iterdir()}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for process in machine.started:
        process.kill()
        process.communicate()


def test_ps_and_stop(machine: Machine) -> None:
    none = machine.cllm("ps")
    assert none.returncode == 0 and none.stdout == "" and "No server" in none.stderr
    assert machine.cllm("stop").returncode == 0 and machine.listed() == []

    one = machine.serve("--model-id", "first")
    two = machine.serve()
    servers = machine.listed()
    assert [s["pid"] for s in servers] == [one.pid, two.pid] or servers[0]["started"] == servers[1]["started"]
    by_pid = {s["pid"]: s for s in servers}
    assert by_pid[one.pid]["model"] == "first" and by_pid[two.pid]["model"] == SMOLLM2.name
    for server in servers:
        assert requests.get(f"{server['url']}/health", timeout=PATIENCE_S).status_code == 200
    table = machine.cllm("ps").stdout.splitlines()
    assert table[0].split() == ["PID", "ADDRESS", "UP", "MODEL"] and len(table) == 3

    several = machine.cllm("stop")
    assert several.returncode == 2 and "2 servers are running" in several.stderr
    unknown = machine.cllm("stop", "99999999")
    assert unknown.returncode == 1 and "'99999999'" in unknown.stderr
    assert machine.cllm("stop", "--all", "first").returncode == 2

    done = machine.cllm("stop", "first")
    assert done.returncode == 0 and done.stdout.startswith(f"stopped {by_pid[one.pid]['url']} (first)")
    assert one.wait(PATIENCE_S) == 0
    assert [s["pid"] for s in machine.listed()] == [two.pid]
    assert machine.cllm("stop", f":{by_pid[two.pid]['port']}").returncode == 0
    assert two.wait(PATIENCE_S) == 0 and machine.files() == set()


def test_a_server_that_was_killed_is_forgotten(machine: Machine) -> None:
    process = machine.serve()
    process.kill()
    process.wait()
    assert machine.files() == {f"{process.pid}.json"}
    # Even when another process has the number now, here this one.
    (machine.folder / f"cllm/{os.getpid()}.json").write_text(json.dumps({"pid": os.getpid(), "port": 1, "url": "x"}))
    assert machine.cllm("stop", "--all").returncode == 0
    assert machine.listed() == [] and machine.files() == set()


def test_names_do_not_steer_the_terminal(machine: Machine) -> None:
    odd = os.fsencode(machine.folder) + b"/\x1b]0;mine\x07\xff.gguf"
    os.symlink(SMOLLM2, odd)
    server = machine.serve(model=os.fsdecode(odd))
    (one,) = machine.listed()
    assert one["pid"] == server.pid and one["model"] == "?]0;mine??.gguf"
    info = requests.get(f"{one['url']}/model/info", timeout=PATIENCE_S).json()["data"]
    assert info["model_path"].endswith("/?]0;mine??.gguf")
    assert "\x1b" not in machine.cllm("ps").stdout + machine.cllm("stop").stdout


def test_stop_waits_for_running_requests_unless_told_not_to(machine: Machine) -> None:
    server = machine.serve()
    url = machine.listed()[0]["url"]
    body = {"prompt": "Once", "max_tokens": 3000, "stream": True, "ignore_eos": True, "temperature": 0}
    with requests.post(f"{url}/generate", json=body, stream=True, timeout=PATIENCE_S) as reply:
        next(reply.iter_lines())
        late = machine.cllm("stop", "--timeout-s", "0")
        assert late.returncode == 1 and "--now ends them too" in late.stderr
        start = time.monotonic()
        assert machine.cllm("stop", "--now").returncode == 0
        assert time.monotonic() - start < 20 * SLOW
    assert server.wait(PATIENCE_S) == 0


def test_a_folder_of_somebody_else_is_not_trusted(machine: Machine) -> None:
    (machine.folder / "cllm").mkdir()
    (machine.folder / "cllm").chmod(0o777)
    done = machine.cllm("ps")
    assert done.returncode == 1 and "is not this user's alone" in done.stderr
    server = machine.serve()  # serves all the same
    server.send_signal(signal.SIGTERM)
    assert server.wait(PATIENCE_S) == 0
