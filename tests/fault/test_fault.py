"""The n-th allocation, thread, mapping, write, accept or descriptor fails, n = 1, 2, 3 …: a start ends with a message or
succeeds, a running server answers truly, refuses or closes, and goes on as if nothing had been.

What must hold for every n: no crash, no hang, no answer of status 200 that differs from the undisturbed one, nothing kept.
In the normal form not all n are tried; FAULT_ALL=1 tries them all (minutes).
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import Faults
from kit import CLLM, PATIENCE_S, Reply, Server

ALL = bool(os.environ.get("FAULT_ALL"))
FLAGS = ["--threads", "2", "--kv-tokens", "1024", "--max-running", "4", "--max-queue", "4"]
GREEDY = {"max_tokens": 6, "temperature": 0, "ignore_eos": True}
Request = tuple[str, str, dict[str, Any] | None]
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Boats?"}]}]
SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", 1]}, "b": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
REQUESTS: list[Request] = [
    ("POST", "/generate", {"prompt": "The harbour", "stop": ["zzz"], "logit_bias": {"5": 1}, **GREEDY}),
    ("POST", "/generate_stream", {"prompt": "The harbour", **GREEDY}),
    ("POST", "/v1/completions", {"prompt": [5, 6, 7, 8], **GREEDY}),
    ("POST", "/v1/completions", {"prompt": "The", "stream": True, "stream_options": {"include_usage": True}, **GREEDY}),
    ("POST", "/v1/chat/completions", {"messages": MESSAGES, **GREEDY}),
    ("POST", "/v1/chat/completions", {"messages": MESSAGES, "stream": True, **GREEDY}),
    ("POST", "/v1/chat/completions", {"messages": MESSAGES, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, "max_tokens": 12, "temperature": 0}),
    ("POST", "/v1/completions", {"prompt": ["The", "A"], "n": 2, "seed": 7, "guided_regex": "(a|b){3}[0-9]+", "max_tokens": 6}),
    ("POST", "/v1/embeddings", {"input": ["The harbour", "boats"]}),
    ("POST", "/v1/messages", {"model": "tiny", "messages": [{"role": "user", "content": "Boats?"}], "max_tokens": 4, "temperature": 0}),
    ("POST", "/v1/messages", {"model": "tiny", "messages": [{"role": "user", "content": "Boats?"}], "max_tokens": 4, "temperature": 0, "stream": True}),
    ("POST", "/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "Boats?"}], "options": {"temperature": 0, "num_predict": 4}}),
    ("POST", "/api/generate", {"model": "tiny", "prompt": "Boats", "stream": False, "options": {"temperature": 0, "num_predict": 4}}),
    ("POST", "/api/show", {"model": "tiny"}),
    ("GET", "/api/tags", None),
    ("POST", "/encode", {"text": "Small boats come in one after another"}),
    ("POST", "/benchmark", {"requests": 3, "concurrency": 2, "max_tokens": 3}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/tin%79", None),
    ("GET", "/model/info", None),
    ("GET", "/stats", None),
    ("GET", "/metrics", None),
    ("GET", "/", None),
    ("OPTIONS", "/generate", None),
    ("PUT", "/generate", None),
    ("GET", "/nothing", None),
]
VARYING = re.compile(rb'"(id|created|created_at|modified_at|expires_at|\w+_duration|response_time|tokens_per_second|uptime)":("[^"]*"|[\d.e+-]+)')


def steps(most: int, wanted: int) -> Iterator[int]:
    """1 … most: all, or about `wanted` of them, denser at the beginning."""
    n = 1
    while n <= most:
        yield n
        n += 1 if ALL else max(1, n // 8, most // wanted)


# ---- start


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (http.client.HTTPException, OSError):
        return False
    finally:
        connection.close()


def start(model: Path, faults: Faults, log: Path) -> tuple[int | None, str]:
    """Start a server and wait until it is ready (None) or has ended (its exit code); its log. A line of the log that
    finds no memory is left out, so it is not what is waited for."""
    port = free_port()
    command = [str(CLLM), "serve", "--model", str(model), "--port", str(port), *FLAGS]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out, env=faults.environment)
    end = time.monotonic() + PATIENCE_S
    try:
        while process.poll() is None and not is_healthy(port):
            assert time.monotonic() < end, f"neither ready nor ended:\n{log.read_text()}"
            time.sleep(0.002)
        code = process.poll()
        faults.clear()
        if code is None:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    return code, log.read_text()


@pytest.mark.parametrize("kind", ["malloc", "thread", "mmap", "fd"])
def test_start(kind: str, tiny_model: Path, faults: Faults, tmp_path: Path) -> None:
    faults.order(kind, 0)
    assert start(tiny_model, faults, tmp_path / "log")[0] is None
    calls = faults.seen(kind)
    refused = 0
    for n in steps(calls + 2, 25):
        faults.order(kind, n)
        code, log = start(tiny_model, faults, tmp_path / "log")
        if code is not None:
            refused += 1
            assert code in (1, 2) and re.search(r"^cllm serve: \S.*", log, re.MULTILINE), f"{kind} {n}: {code}\n{log}"
    assert refused > 0


# ---- running


def meaning(reply: Reply) -> Any:
    """What must not change from one answer to the next."""
    kind = reply.headers.get("content-type", "")
    if reply.body.startswith(b"# HELP"):
        return {line.split()[2] for line in reply.body.splitlines() if line.startswith(b"# HELP")}
    if kind.startswith("application/json") and b'"blocks_total"' in reply.body:
        return set(reply.json["data"])
    if kind.startswith("application/json") and b'"total_requests"' in reply.body:
        data = reply.json["data"]
        return data["total_requests"], data["successful_requests"] + data["failed_requests"]  # it may tell of failures
    return VARYING.sub(b"", reply.body), kind


def ask(server: Server, request: Request, timeout: float = PATIENCE_S) -> Reply | None:
    """None: the connection was closed without a whole answer."""
    method, path, body = request
    connection = server.connect(timeout)
    try:
        connection.request(method, path, body=None if body is None else json.dumps(body).encode())
        return Reply(connection.getresponse())
    except (http.client.HTTPException, ConnectionError):
        return None
    finally:
        connection.close()


def ask_disturbed(server: Server, faults: Faults, request: Request, accepts: bool) -> Reply | None:
    """Where no connection is accepted any more, nothing else can come than silence."""
    if accepts:
        return ask(server, request)
    try:
        return ask(server, request, 0.2)
    except TimeoutError:
        return None


def disturb(server: Server, faults: Faults, kind: str, request: Request, wanted: int, lasting: bool) -> None:
    """One request with each n."""
    faults.order(kind, 0)
    right = ask(server, request)
    assert right is not None
    calls = faults.seen(kind)
    for n in steps(calls + 2, wanted):
        where = f"{request[:2]}, {kind} {n} of {calls}"
        faults.order(kind, n, lasting)
        try:
            reply = ask_disturbed(server, faults, request, not (lasting and kind == "accept"))
        except TimeoutError as exc:
            raise AssertionError(f"{where}: no answer\n{server.log[-2000:]}") from exc
        faults.clear()
        assert server.process.poll() is None, f"{where}: the server has ended\n{server.log[-2000:]}"
        if reply is not None and reply.status < 300:
            assert (reply.status, meaning(reply)) == (right.status, meaning(right)), where


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("kind", ["malloc", "write", "accept", "fd"])
def test_running(kind: str, lasting: bool, tiny_model: Path, faults: Faults, tmp_path: Path) -> None:
    server = Server(tmp_path / "log", *FLAGS, model=tiny_model, env=faults.environment)
    try:
        server.wait_ready()
        for request in REQUESTS:
            ask(server, request)
        descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        for request in REQUESTS if kind == "malloc" or ALL else REQUESTS[:5]:
            disturb(server, faults, kind, request, 8 if kind == "malloc" else 2, lasting)
        server.wait_idle()
        end = time.monotonic() + PATIENCE_S
        while len(os.listdir(f"/proc/{server.process.pid}/fd")) > descriptors:
            assert time.monotonic() < end, "descriptors are left"
            time.sleep(0.01)
        server.signal()
        assert server.process.wait(PATIENCE_S) == 0
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize("kind", ["malloc", "thread", "mmap", "fd"])
def test_loading_another_model(kind: str, tiny_model: Path, faults: Faults, tmp_path: Path) -> None:
    """Two that take turns: what cannot be loaded is said, and the next request tries again."""
    flags = [*FLAGS, "--model", f"other={tiny_model}", "--model-budget-mb", "1"]
    server = Server(tmp_path / "log", *flags, model=Path(f"first={tiny_model}"), env=faults.environment)
    first, other = (("POST", "/v1/completions", {"model": name, "prompt": "The harbour", **GREEDY}) for name in ("first", "other"))
    try:
        server.wait_ready()
        right = ask(server, other)
        assert right is not None and right.status == 200
        ask(server, first)
        faults.order(kind, 0)
        ask(server, other)
        calls = faults.seen(kind)
        refused = 0
        for n in steps(calls + 2, 25):
            back = ask(server, first)
            assert back is not None and back.status == 200, f"{kind} {n}: {server.log[-2000:]}"
            faults.order(kind, n)
            reply = ask(server, other)
            faults.clear()
            assert server.process.poll() is None, f"{kind} {n} of {calls}: the server has ended\n{server.log[-2000:]}"
            if reply is None or reply.status != 200:
                refused += 1
                assert reply is None or reply.status in (500, 503), f"{kind} {n}: {reply.body!r}"
                reply = ask(server, other)
            assert reply is not None and reply.json["choices"][0]["text"] == right.json["choices"][0]["text"], f"{kind} {n} of {calls}"
        assert refused > 0
        server.signal()
        assert server.process.wait(PATIENCE_S) == 0
    finally:
        server.process.kill()
        server.process.wait()
