"""Clients that mean harm: what they send, and a watch on what others notice of it meanwhile."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from kit import PATIENCE_S, Server

GOOD = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclass
class Answer:
    """What came back until the server closed."""

    raw: bytes
    seconds: float

    @property
    def status(self) -> int:
        """0: closed without a word."""
        return int(self.raw[9:12]) if self.raw.startswith(b"HTTP/1.1 ") else 0

    @property
    def error(self) -> dict[str, str]:
        """The error of a refusal, which is JSON in OpenAI's envelope."""
        head, _, body = self.raw.partition(b"\r\n\r\n")
        assert b"Content-Type: application/json" in head and b"Connection: close" in head, self.raw[:400]
        return json.loads(body)["error"]


def read_all(sock: socket.socket, limit: int = 1 << 20) -> bytes:
    """Until the server closes."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while len(answer) < limit and (chunk := sock.recv(65536)):
            answer += chunk
    return answer


def talk(port: int, *pieces: bytes, pause: float = 0.0, timeout: float = PATIENCE_S) -> Answer:
    """Send bytes in pieces, read until the server closes."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        for piece in pieces:
            try:
                sock.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
            if pause:
                time.sleep(pause)
        raw = read_all(sock)
    return Answer(raw, time.monotonic() - start)


@dataclass
class Watch:
    """Asks /health and for one short answer, again and again. How long the loop lets others wait is its own time on a
    CPU between a question and the answer: the time on the clock also tells what else the machine has to do."""

    server: Server
    expected: str = ""
    held_ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> str:
        return self.server.generate("Once upon a time", max_tokens=4, temperature=0, ignore_eos=True)["text"]

    def run(self) -> None:
        turn = 0
        while not self._stop.is_set() or turn < 20:
            turn += 1
            try:
                before, _ = self.server.cpu_s()
                status = self.server.get("/health").status
                self.held_ms.append((self.server.cpu_s()[0] - before) * 1000)
                if status != 200:
                    self.wrong.append(f"health {status}")
                if turn % 10 == 1 and (text := self.ask()) != self.expected:
                    self.wrong.append(text)
            except (OSError, AssertionError) as exc:
                self.wrong.append(repr(exc))
            time.sleep(0.005)

    def judge(self, slow: int = 1) -> None:
        assert not self.wrong, self.wrong[:5]
        assert statistics.median(self.held_ms) < 10 * slow, sorted(self.held_ms)[-20:]
        assert max(self.held_ms) < 250 * slow, sorted(self.held_ms)[-20:]


@contextlib.contextmanager
def watched(server: Server, slow: int = 1) -> Iterator[Watch]:
    """While the body runs, the loop is nobody's for long and other clients' answers are unchanged."""
    watch = Watch(server)
    watch.expected = watch.ask()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch._stop.set()
        thread.join()
    watch.judge(slow)
