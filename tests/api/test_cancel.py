"""Clients that leave free their work at once, in every state, and nobody else's."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from kit import Server

LONG = {"max_tokens": 3000, "ignore_eos": True, "temperature": 0}
PATHS = [
    ("/generate", {"prompt": "Hello", **LONG}),
    ("/generate_stream", {"prompt": "Hello", **LONG}),
    ("/v1/completions", {"prompt": "Hello", "stream": True, **LONG}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], **LONG}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "stream": True, **LONG}),
    ("/benchmark", {"requests": 8, "concurrency": 1, "prompt": "Hello", **LONG}),
]


def leave(sock: socket.socket, how: str) -> None:
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == "half":
        sock.shutdown(socket.SHUT_WR)
        return
    sock.close()


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize(("path", "body"), PATHS)
def test_while_decoding(server: Server, path: str, body: dict[str, Any], how: str) -> None:
    before = server.stats()
    sock = server.open("POST", path, body)
    server.wait_stats(running=1)
    leave(sock, how)
    server.wait_stats(running=0, waiting=0, live=0, blocks_used=0)
    after = server.stats()
    assert after["finished"]["cancelled"] == before["finished"]["cancelled"] + 1
    assert after["generated_tokens"] - before["generated_tokens"] < 1000
    sock.close()


@pytest.mark.parametrize(("path", "body"), PATHS[:5])
def test_in_prefill(server: Server, path: str, body: dict[str, Any]) -> None:
    words = f"{path} {body.get('stream')} " + "word " * 6000
    text = {"messages": [{"role": "user", "content": words}]} if "messages" in body else {"prompt": words}
    before = server.stats()
    sock = server.open("POST", path, {**body, **text, "max_tokens": 10})
    server.wait_stats(running=1)
    assert [one["state"] for one in server.stats()["sequences"]] == ["prefill"]
    leave(sock, "close")
    server.wait_stats(running=0, live=0, blocks_used=0)
    after = server.stats()
    assert after["generated_tokens"] == before["generated_tokens"] and after["rows"] - before["rows"] < 6000


def test_while_queued(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-running", "1", "--max-queue", "8")
    first = server.open("POST", "/generate", {"prompt": "Hello", **LONG})
    server.wait_stats(running=1)
    queued = [server.open("POST", path, body) for path, body in PATHS[:5]]
    server.wait_stats(waiting=5)
    for sock in queued[1:]:
        leave(sock, "close")
    server.wait_stats(running=1, waiting=1)
    leave(first, "reset")
    server.wait_stats(running=1, waiting=0)
    leave(queued[0], "close")
    server.wait_idle()


def test_others_go_on(server: Server) -> None:
    alone = server.generate("Once upon a time", max_tokens=60, temperature=0)["text"]
    sockets = [server.open("POST", path, body) for path, body in PATHS[:5]]
    stays = server.open("POST", "/generate", {"prompt": "Once upon a time", "max_tokens": 60, "temperature": 0})
    server.wait_stats(running=6)
    for sock in sockets:
        leave(sock, "reset")
    answer = b""
    while b"finish_reason" not in answer:
        chunk = stays.recv(65536)
        assert chunk
        answer += chunk
    stays.close()
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["data"]["text"] == alone


def test_before_the_body_is_complete(server: Server) -> None:
    for _ in range(20):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.sendall(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        leave(sock, "reset")
    assert server.get("/health").status == 200
