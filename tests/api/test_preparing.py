"""Requests are read beside the loop: whatever bodies arrive, the others are answered."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

from kit import Server

CHAT = "/v1/chat/completions"


def slow_body() -> bytes:
    """Takes long to read, and is refused at last: text that may fit, in more tokens than may be."""
    words = " ".join(f"{i} \u4f60\u597d" for i in range(60_000))
    return json.dumps({"messages": [{"role": "user", "content": words}], "max_tokens": 1}).encode()


def test_health_beside_large_bodies(server: Server) -> None:
    """Reading is work of another thread than the loop's, which answers meanwhile."""
    body, n_answers = slow_body(), 0
    refused: list[None] = []
    loop, everything = server.cpu_s()
    others = [threading.Thread(target=lambda: refused.append(ask(server, body))) for _ in range(3)]
    for thread in others:
        thread.start()
    while any(thread.is_alive() for thread in others):
        assert server.get("/health").status == 200
        n_answers += 1
        time.sleep(0.01)
    loop_end, everything_end = server.cpu_s()
    assert len(refused) == 3 and n_answers >= 3
    assert loop_end - loop < (everything_end - everything) / 2


def ask(server: Server, body: bytes) -> None:
    reply = server.request("POST", CHAT, body)
    assert reply.status == 400 and reply.json["error"]["code"] == "context_length_exceeded"


def test_small_requests_overtake(server: Server) -> None:
    sock = server.open("POST", CHAT, json.loads(slow_body()))
    assert server.chat("Hi", max_tokens=1).status == 200
    assert sock.recv(12) == b"HTTP/1.1 400"
    sock.close()


def test_clients_leave_while_they_are_read(server: Server) -> None:
    body = json.loads(slow_body())
    for _ in range(3):
        server.open("POST", CHAT, body).close()
        server.open("POST", "/encode", {"text": body["messages"][0]["content"][:300_000]}).close()
    assert server.chat("Hi", max_tokens=1).status == 200
    ask(server, slow_body())


def test_the_same_answer_either_way(server: Server) -> None:
    """A body above the size that is read at once, and the same request below it."""
    fields = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 6, "temperature": 0}
    small = server.post(CHAT, fields)
    large = server.post(CHAT, {**fields, "ignored": "x" * 20_000})
    assert small.json["choices"] == large.json["choices"]
    assert server.request("POST", CHAT, b"{" + b" " * 20_000).status == 400


def test_a_full_queue_is_said_at_once(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-running", "1", "--max-queue", "0")
    first = server.open("POST", CHAT, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3000, "ignore_eos": True})
    server.wait_stats(running=1)
    reply = server.request("POST", CHAT, slow_body())
    assert reply.status == 429 and int(reply.headers["retry-after"]) >= 1
    first.close()
    server.wait_idle()
