"""A server process under test, and the plainest ways to talk to it.

`CLLM_BIN` names another binary (a sanitizer build). Raw sockets serve where a client library would hide what is
tested: closing early, reading slowly, odd requests.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
MODEL = Path(os.environ.get("CLLM_TEST_MODEL", ROOT / "models/smollm2-135m-instruct-q4_1.gguf"))
SLOW = 1 if CLLM.parent.name == "release" else 20  # sanitizers slow a program down
PATIENCE_S = 60 * SLOW  # with what comes in the end, on a machine that has much else to do; nothing is proved by it


class Reply:
    """An HTTP answer with its body read."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        """The `data` of a native success."""
        assert self.status == 200, self.body
        assert self.json["success"] is True
        return self.json["data"]


class Server:
    """`cllm serve` on a free loopback port, with its log in a file."""

    def __init__(
        self, stderr: Path, *flags: str, log: Path | None = None, model: Path = MODEL, env: dict[str, str] | None = None
    ) -> None:
        """`log`: the file that the flags name for the log, where it is not stderr."""
        self.log_path = log or stderr
        self._log = stderr.open("wb")
        command = [str(CLLM), "serve", "--model", str(model), "--host", "127.0.0.1", "--port", "0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self._log, env=env)
        self.port = int(self.wait_log(r'listening.*port"?[=:](\d+)').group(1))

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8") if self.log_path.exists() else ""

    def wait_log(self, pattern: str, timeout: float = PATIENCE_S) -> re.Match[str]:
        """The first match in the log, waiting for it."""
        end = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.log)
            if found:
                return found
            assert self.process.poll() is None and time.monotonic() < end, f"no {pattern!r} in:\n{self.log}"
            time.sleep(0.01)

    def wait_ready(self, timeout: float = PATIENCE_S) -> Server:
        end = time.monotonic() + timeout
        while self.get("/health").status != 200:
            assert time.monotonic() < end, "not ready in time"
            time.sleep(0.02)
        return self

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        """Stop at once and judge the log: nothing above info, and a clean exit."""
        if self.process.poll() is None:
            self.signal()
            self.signal()
        code = self.process.wait(PATIENCE_S)
        self._log.close()
        assert code == 0, f"exit code {code}\n{self.log[-3000:]}"
        bad = [line for line in self.log.splitlines() if not re.match(r'\S+Z (info|debug) |{"time":"\S+Z","level":"(info|debug)"', line)]
        assert not bad, bad[:10]

    # ---- requests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout: float = 120 * SLOW) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """One request on a connection of its own; `body` is JSON unless it is bytes."""
        connection = self.connect()
        try:
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body, ensure_ascii=False).encode()
            connection.request(method, path, body=body, headers=headers or {})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: Any) -> Reply:
        return self.request("POST", path, body)

    def generate(self, prompt: str, **fields: Any) -> dict[str, Any]:
        """`data` of a native /generate."""
        return self.post("/generate", {"prompt": prompt, **fields}).data

    def chat(self, *contents: str, **fields: Any) -> Reply:
        """A chat of user and assistant in turns."""
        roles = ["user", "assistant"]
        messages = [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]
        return self.post("/v1/chat/completions", {"messages": messages, **fields})

    def events(self, path: str, body: Any) -> Iterator[str]:
        """The data lines of a stream, each decoded by itself."""
        connection = self.connect()
        try:
            connection.request("POST", path, body=json.dumps(body).encode())
            response = connection.getresponse()
            assert response.status == 200, response.read()
            assert response.getheader("Content-Type", "").startswith("text/event-stream")
            for line in response:
                if line.startswith(b"data: "):
                    yield line[6:].decode("utf-8", errors="strict").rstrip("\n")
        finally:
            connection.close()

    # ---- raw sockets

    def open(self, method: str, path: str, body: Any = None, receive_buffer: int = 0) -> socket.socket:
        """A socket on which a whole request has been sent and nothing has been read."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", self.port))
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(payload)}\r\n\r\n"
        sock.sendall(head.encode() + payload)
        return sock

    # ---- the process

    def cpu_s(self) -> tuple[float, float]:
        """Time on a CPU so far: of the loop, which is the process's first thread, and of all threads."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        times = {task.name: int((task / "schedstat").read_text().split()[0]) * 1e-9 for task in tasks.iterdir()}
        return times[str(self.process.pid)], sum(times.values())

    # ---- the engine

    def stats(self) -> dict[str, Any]:
        return self.get("/stats").data

    def wait_stats(self, timeout: float = PATIENCE_S, **wanted: int) -> dict[str, Any]:
        """The statistics once all the named ones have these values."""
        end = time.monotonic() + timeout
        while True:
            stats = self.stats()
            if all(stats[name] == value for name, value in wanted.items()):
                return stats
            assert time.monotonic() < end, f"wanted {wanted}, have {stats}"
            time.sleep(0.005)

    def wait_idle(self, timeout: float = PATIENCE_S) -> None:
        self.wait_stats(timeout, running=0, waiting=0, live=0, blocks_used=0)
