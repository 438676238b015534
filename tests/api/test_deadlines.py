"""timeout_ms is kept in every state, by every route: 408 before the first byte, an error event after it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kit import PATIENCE_S, Reply, Server

TIMEOUT_MS = 400
MANY = {"max_tokens": 3000, "ignore_eos": True, "temperature": 0}


def requests(text: str, timeout_ms: int = TIMEOUT_MS) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each generating route, whole and streamed."""
    chat = {"messages": [{"role": "user", "content": text}]}
    for path, body in (("/generate", {"prompt": text}), ("/v1/completions", {"prompt": text}), ("/v1/chat/completions", chat)):
        for stream in (False, True):
            yield path, {**body, "stream": stream, "timeout_ms": timeout_ms, **MANY}


def ask_all(server: Server, text: str, timeout_ms: int = TIMEOUT_MS) -> list[Reply]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda one: server.post(*one), requests(text, timeout_ms)))


def assert_late(reply: Reply) -> None:
    assert reply.status == 408, reply.body
    error = reply.json["error"]
    assert "deadline" in (error if isinstance(error, str) else error["message"])
    assert isinstance(error, str) or (error["type"], error["code"]) == ("timeout", "deadline_exceeded")


@pytest.fixture
def hog(make_server: Callable[..., Server]) -> Iterator[tuple[Server, socket.socket]]:
    """A server whose only place is taken."""
    server = make_server("--max-running", "1", "--prefix-cache", "0")
    sock = server.open("POST", "/generate_stream", {"prompt": "Hello", "priority": 10, **MANY, "max_tokens": 7000})
    sock.recv(1000)
    yield server, sock
    sock.close()


def test_in_the_queue(hog: tuple[Server, socket.socket]) -> None:
    server, sock = hog
    before, start = server.stats(), time.monotonic()
    for reply in ask_all(server, "Hello"):
        assert_late(reply)
    assert time.monotonic() - start >= TIMEOUT_MS / 1000
    after = server.wait_stats(running=1, waiting=0)
    assert after["finished"]["timeout"] == before["finished"]["timeout"] + 6
    sock.recv(1000)  # the other one goes on
    sock.close()
    server.wait_idle()
    assert server.stats()["prompt_tokens"] == before["prompt_tokens"]  # none of them had a first token


def test_in_prefill(make_server: Callable[..., Server]) -> None:
    server = make_server("--prefix-cache", "0", "--prefill-chunk", "16", "--threads", "1")
    for reply in ask_all(server, "word " * 4000):
        assert_late(reply)
    stats = server.wait_stats(running=0, waiting=0, blocks_used=0)
    assert stats["rows"] > 0 and stats["prompt_tokens"] == 0  # begun, and none had a first token
    assert stats["finished"]["timeout"] == 6


def test_while_decoding(server: Server) -> None:
    timeout_ms = 1000
    while True:  # until there is time enough for a first token
        before = server.stats()
        replies = ask_all(server, "Hello", timeout_ms)
        if [reply.status for reply in replies].count(200) == 3:
            break
        timeout_ms *= 2
        assert timeout_ms < PATIENCE_S * 1000, [reply.body for reply in replies]
    for (_, body), reply in zip(requests("Hello"), replies, strict=True):
        if not body["stream"]:
            assert_late(reply)
            continue
        assert reply.status == 200  # had begun
        events = [line[6:] for line in reply.body.decode().split("\n") if line.startswith("data: ")]
        assert "[DONE]" not in events
        last = json.loads(events[-1])
        error = last["error"]
        assert "deadline" in (error if isinstance(error, str) else error["message"])
        assert all("error" not in json.loads(event) for event in events[:-1])
    after = server.stats()
    assert after["finished"]["timeout"] == before["finished"]["timeout"] + 6
    assert after["generated_tokens"] > before["generated_tokens"]


def test_default(make_server: Callable[..., Server]) -> None:
    """--default-timeout-ms is for requests that name none."""
    server = make_server("--default-timeout-ms", "300")
    assert_late(server.post("/generate", {"prompt": "Hello", **MANY}))
    assert server.post("/generate", {"prompt": "Hello", "max_tokens": 2, "timeout_ms": 600000}).status == 200
