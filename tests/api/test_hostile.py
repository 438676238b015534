"""Hostile clients, over raw sockets: each gets its refusal in JSON, and meanwhile nobody else notices."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile import GOOD, read_all, talk, watched
from kit import CLLM, MODEL, PATIENCE_S, SLOW, Server

POST = b"POST /encode HTTP/1.1\r\nHost: x\r\n"
LIMITS = {"header-timeout-s": 1, "body-timeout-s": 1, "idle-timeout-s": 2, "min-body-rate": 10_000_000, "max-connections": 150,
          "max-body-bytes": 2_000_000, "max-bodies-bytes": 6_000_000}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = [text for name, value in LIMITS.items() for text in (f"--{name}", str(value))]
    one = Server(tmp_path_factory.mktemp("hostile") / "log", *flags)
    yield one.wait_ready()
    one.wait_idle()
    one.close()


def sized(n: int) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % n


def memory_mb(server: Server) -> float:
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_connected(server: Server, sock: socket.socket) -> bool:
    """As the kernel knows the server's end, which may be closed before all that was sent has been read."""
    ends = rf" 0100007F:{server.port:04X} 0100007F:{sock.getsockname()[1]:04X} 01 "
    return ends in Path("/proc/net/tcp").read_text(encoding="ascii")


# ---- what is sent

REFUSED = {
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "signed length": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "unknown encoding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "hidden encoding": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "body of a GET": (b"GET /health HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD, 400),
    "folded line": (b"GET /health HTTP/1.1\r\nX: y\r\n z\r\n\r\n", 400),
    "bare line feeds": (b"GET /health HTTP/1.1\nHost: x\n\n", 400),
    "HTTP/0.9": (b"GET /health\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS on the plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "noise": (bytes(range(256)) * 4, 400),
    "NUL in the path": (b"GET /health\0 HTTP/1.1\r\n\r\n", 400),
    "NUL in a field": (b"GET /health HTTP/1.1\r\nX: a\0b\r\n\r\n", 400),
    "bytes in the path": (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400),
    "no path": (b"GET health HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "unknown method": (b"BREW /health HTTP/1.1\r\n\r\n", 501),
    "long path": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
    "long field": (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 431),
    "many fields": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n", 431),
    "endless head": (b"GET / HTTP/1.1\r\n" + b"a" * 40_000, 431),
    "malformed chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n", 400),
    "negative chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n", 400),
    "expectation": (POST + b"Expect: a miracle\r\nContent-Length: 5\r\n\r\n", 417),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_json(server: Server, name: str) -> None:
    sent, status = REFUSED[name]
    answer = talk(server.port, sent)
    assert answer.status == status and len(re.findall(rb"HTTP/1.1 \d", answer.raw)) == 1, answer.raw[:300]
    body = json.loads(answer.raw.partition(b"\r\n\r\n")[2])
    assert body.get("success") is False or body["error"]["type"] == ("server_error" if status >= 500 else "invalid_request_error")


@pytest.mark.parametrize("path", ["//health", "/../health", "/./health", "/health/", "/health/..", "/%68ealth", "/health%00", "/%2e%2e/etc/passwd",
                                  "/v1/../health", "/health;x", "/HEALTH", "/v1//models"])
def test_paths_are_taken_as_they_are(server: Server, path: str) -> None:
    assert talk(server.port, GOOD.replace(b"/health", path.encode())).status == 404


def test_absolute_target(server: Server) -> None:
    assert b"healthy" in talk(server.port, GOOD.replace(b"/health", b"http://elsewhere.example:80/health")).raw


def test_invalid_utf8_and_nul_in_a_body(server: Server) -> None:
    for body, words in ((b'{"text":"\xff"}', "decode"), (b'{"text":"\xed\xa0\x80"}', "decode"), (b'{"te\0xt":1}', "control"), (b"\0" * 100, "JSON")):
        reply = server.request("POST", "/encode", body)
        assert reply.status == 400 and words in reply.json["error"], reply.body
    assert server.request("POST", "/encode", b'{"text":"a\\u0000b"}').status == 200


def test_pipelined_garbage_ends_the_connection(server: Server) -> None:
    ask = GOOD.replace(b"Connection: close\r\n", b"")
    answer = talk(server.port, ask * 3 + b"nonsense\r\n\r\n" + ask)
    assert answer.raw.count(b"HTTP/1.1 200") == 3 and answer.raw.count(b"HTTP/1.1 400") == 1


def test_pipelined_in_pieces(server: Server) -> None:
    """Each head comes in two halves, the second behind the answer to the one before."""
    ask = GOOD.replace(b"Connection: close\r\n", b"")
    answer = talk(server.port, ask + ask[:20], ask[20:] + ask[:30], ask[30:-1], ask[-1:] + GOOD, pause=0.05)
    assert answer.raw.count(b"HTTP/1.1 200") == 4


# ---- what takes long

def test_slow_heads(server: Server) -> None:
    with watched(server, SLOW):
        socks = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) for _ in range(60)]
        for i in range(8):
            for sock in socks[: 60 - i]:
                with contextlib.suppress(ConnectionError):  # refused already
                    sock.sendall(b"GET /health HTTP/1.1\r\n"[i : i + 1])
            time.sleep(0.1)
        answers = [read_all(sock) for sock in socks]
    heard = [answer for answer in answers if answer]  # who still sends when it is refused may lose the answer
    assert len(heard) > len(answers) / 2
    assert all(answer.startswith(b"HTTP/1.1 408 ") and b"application/json" in answer for answer in heard)


def test_slow_bodies(server: Server) -> None:
    with watched(server, SLOW):
        socks = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) for _ in range(60)]
        for sock in socks:
            sock.sendall(sized(100_000))
        for _ in range(8):
            for sock in socks:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(b"{")
            time.sleep(0.1)
        answers = [read_all(sock) for sock in socks]
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)


def test_the_end_of_a_fast_body_is_not_waited_for(make_server: Callable[..., Server]) -> None:
    """Neither for as long as its bytes would have been worth, nor not at all."""
    server = make_server("--body-timeout-s", "3", "--min-body-rate", "100")
    answer = talk(server.port, sized(60_000), b" " * 50_000)
    assert answer.status == 408 and answer.seconds < 250
    body = json.dumps({"text": "a b c d " * 500}).encode()
    slow = talk(server.port, POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body),
                *[body[i : i + 400] for i in range(0, len(body), 400)], pause=0.35)
    assert slow.status == 200 and slow.seconds > 3  # slow enough for the timeout, fast enough for the rate


def test_a_connection_that_says_nothing(server: Server) -> None:
    first = talk(server.port)
    assert first.raw == b"" and first.seconds > 0.5
    again = talk(server.port, GOOD.replace(b"Connection: close\r\n", b""))
    assert again.status == 200 and again.seconds > 1.5


def test_slow_reader(server: Server) -> None:
    """Of an answer that is larger than the buffers of both kernels."""
    text = json.dumps({"text": "a b c d e f g h " * 60_000}).encode()
    with socket.socket() as sock, watched(server, SLOW):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(sized(len(text)) + text)
        wait_until(lambda: not is_connected(server, sock))
        assert len(read_all(sock, 1 << 30)) < 2_000_000  # cut off


# ---- what is large

def test_huge_body_is_not_read(server: Server) -> None:
    with watched(server, SLOW):
        before = memory_mb(server)
        answer = talk(server.port, sized(100_000_000), b"x" * 1_000_000)
        assert answer.status == 413
        chunk = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
        answer = talk(server.port, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 1500)
        assert answer.status in (0, 413)  # whoever goes on sending may not see it
        assert SLOW > 1 or memory_mb(server) - before < 30  # a sanitizer keeps what was freed


def test_large_bodies_share_a_limit(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-bodies-bytes", "6000000")
    body = b'{"text":"' + b" " * 1_900_000
    with watched(server, SLOW):
        waiting = []
        for _ in range(6):
            waiting.append(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S))
            waiting[-1].sendall(sized(2_000_000) + body)
        while len(waiting) > 3:  # which fit, and wait for their rest
            refused, _, _ = select.select(waiting, [], [], PATIENCE_S)
            assert refused
            for sock in refused:
                assert b"HTTP/1.1 503 " in read_all(sock)
                waiting.remove(sock)
        assert len(waiting) == 3
        for sock in waiting:
            sock.close()
    wait_until(lambda: server.request("POST", "/encode", body + b'"}').status != 503)


@pytest.mark.parametrize("body", [b'{"a":' * 300_000, b"[" * 1_900_000, b'{"text":[' + b"1," * 900_000 + b"1]}",
                                  b'{"text":"' + b"\\u0041" * 300_000 + b'"}', b"{" + b",".join(b'"%d":1' % i for i in range(150_000)) + b"}"],
                         ids=["nested objects", "nested arrays", "many values", "escapes", "many members"])
def test_bodies_that_are_hard_to_read(server: Server, body: bytes) -> None:
    with watched(server, SLOW):
        for _ in range(3):
            assert server.request("POST", "/v1/completions", body).status == 400


def test_large_answers_are_not_written_by_the_loop(server: Server) -> None:
    body = json.dumps({"text": "a b c d " * 100_000}).encode()
    with watched(server, SLOW):
        for _ in range(2):
            with ThreadPoolExecutor(6) as pool:
                assert all(reply.status == 200 for reply in pool.map(lambda _: server.request("POST", "/encode", body), range(6)))


# ---- what is many

def test_connection_flood(make_server: Callable[..., Server]) -> None:
    """Those beyond the limit are closed, not kept until they are late; who was connected before is served."""
    server = make_server("--max-connections", "150", "--header-timeout-s", "3600")
    old = server.connect()
    old.request("GET", "/health")
    assert old.getresponse().read()
    socks = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) for _ in range(300)]
    assert sum(read_all(sock) == b"" for sock in socks[-100:]) == 100
    old.request("GET", "/health")
    assert old.getresponse().status == 200
    for sock in socks:
        sock.close()
    server.wait_ready()


def test_request_flood(server: Server) -> None:
    """Bad requests as fast as one client can."""
    with watched(server, SLOW):
        for _ in range(200):
            assert talk(server.port, b"nonsense\r\n\r\n").status == 400


@pytest.mark.parametrize("hard", [2000, 300])
def test_descriptor_limit_is_raised(tmp_path: Path, hard: int) -> None:
    """To what 1024 connections need, or as far as may be, with a warning."""
    command = ["prlimit", f"--nofile=200:{hard}", str(CLLM), "serve", "--model", str(MODEL), "--port", "0"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    end = time.monotonic() + PATIENCE_S
    while "listening" not in (text := (tmp_path / "log").read_text(encoding="utf-8")) and time.monotonic() < end:
        time.sleep(0.02)
    limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii")
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert re.search(rf"Max open files +{min(hard, 1088)} ", limits)
    assert ("few_descriptors limit=300 wanted=1088" in text) is (hard == 300)
