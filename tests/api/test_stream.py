"""Streams: each line is valid by itself, whatever the tokens are; slow readers harm nobody."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable

import pytest
from kit import PATIENCE_S, Server


def native_text(server: Server, body: dict) -> tuple[str, list[str]]:
    events = [json.loads(line) for line in server.events("/generate_stream", body)]
    pieces = [e["token"] for e in events if not e["done"]]
    return "".join(pieces), pieces


@pytest.mark.parametrize("prompt", ["\u4f60\u597d\uff0c\u8bf7\u7528\u4e2d\u6587", "Emoji: \U0001f600\U0001f680\U0001f468\u200d\U0001f469\u200d\U0001f467",
                                    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac", "\u0000\u0001"])
def test_utf8(server: Server, prompt: str) -> None:
    """High temperature: bytes of any kind, split over tokens."""
    for seed in range(3):
        body = {"prompt": prompt, "max_tokens": 40, "temperature": 3, "top_p": 1, "seed": seed, "ignore_eos": True}
        whole = server.generate(**body)["text"]
        text, pieces = native_text(server, body)
        assert text == whole and all(pieces)
        whole.encode("utf-8")


def test_forced_partial_code_points(server: Server) -> None:
    """Every token of a chosen emoji is a fragment: pieces come only when whole."""
    tokens = server.post("/encode", {"text": "\U0001f996"}).data["tokens"]
    assert len(tokens) > 1, "the vocabulary has this one whole; take another"
    body = {"prompt": "x", "max_tokens": 1, "temperature": 0, "ignore_eos": True}
    for token in tokens:
        reply = server.post("/v1/completions", {**body, "logit_bias": {str(token): 100}})
        assert reply.json["choices"][0]["text"].encode("utf-8")
        lines = list(server.events("/v1/completions", {**body, "logit_bias": {str(token): 100}, "stream": True}))
        assert lines[-1] == "[DONE]"


def test_stop_strings_across_tokens(server: Server) -> None:
    body = {"prompt": "Write a long story.", "max_tokens": 40, "temperature": 0, "ignore_eos": True}
    text = server.generate(**body)["text"]
    for at in range(2, len(text) - 8, 9):
        for length in (1, 5):
            stop = text[at : at + length]
            shown = text[: text.index(stop)]
            assert native_text(server, {**body, "stop": [stop, "\u2603"]})[0] == shown
    server.wait_idle()


def test_a_prefix_of_a_stop_is_released(server: Server) -> None:
    body = {"prompt": "Write a long story.", "max_tokens": 20, "temperature": 0, "ignore_eos": True}
    text = server.generate(**body)["text"]
    held = text[-4:] + "\u2603"
    assert server.generate(**body, stop=held)["text"] == text
    assert native_text(server, {**body, "stop": held})[0] == text


def test_tokens_come_as_they_are_made(server: Server) -> None:
    """Those that are here were sent while the request went on."""
    events = server.events("/generate_stream", {"prompt": "Hello", "max_tokens": 4000, "temperature": 0, "ignore_eos": True})
    for _ in range(3):
        next(events)
        assert server.stats()["running"] == 1
    events.close()
    server.wait_idle()


def test_slow_reader_is_cut_off_alone(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-pending-bytes", "65536")
    body = {"prompt": "Hi", "n": 8, "max_tokens": 1500, "stream": True, "ignore_eos": True, "seed": 1}
    before = server.stats()
    sock = server.open("POST", "/v1/completions", body, receive_buffer=2048)
    sock.recv(100)
    others = [server.generate("Hello", max_tokens=10, temperature=0)["text"] for _ in range(3)]
    assert len(set(others)) == 1
    # More than the kernel's buffers and the server's take; what is cut off says so, and holds nothing.
    server.wait_log(r"request_end id=cmpl-\S+ reason=slow_reader")
    server.wait_idle()
    assert server.stats()["finished"]["cancelled"] == before["finished"]["cancelled"] + 8
    sock.close()


def test_a_stalled_reader_does_not_delay_others(server: Server) -> None:
    alone = server.generate("Hello there", max_tokens=30, temperature=0)["text"]
    body = {"prompt": "Hello", "max_tokens": 200, "stream": True, "ignore_eos": True}
    stalled = [server.open("POST", "/generate", body, receive_buffer=2048) for _ in range(4)]
    result: list[str] = []
    worker = threading.Thread(
        target=lambda: result.append(server.generate("Hello there", max_tokens=30, temperature=0)["text"])
    )
    worker.start()
    worker.join(timeout=PATIENCE_S)
    assert result == [alone]
    for sock in stalled:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # reset
        sock.close()
    server.wait_idle()
