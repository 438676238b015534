"""A model hub on this machine, well-behaved or not, for the tests of `cllm pull`."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def gguf_string(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def tiny_model(n_bytes: int = 200_000, arch: str = "llama") -> bytes:
    """A file that the reader accepts: a name, an architecture, and that many bytes of filling."""
    filling = hashlib.shake_256(arch.encode()).digest(n_bytes)
    pairs = [
        gguf_string(b"general.architecture") + struct.pack("<I", 8) + gguf_string(arch.encode()),
        gguf_string(b"test.filling") + struct.pack("<I", 8) + gguf_string(filling),
    ]
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


@dataclass
class Request:
    path: str
    headers: dict[str, str]


@dataclass
class FakeHub:
    """Use as a context manager. `plan` has what the next requests for a file meet, one entry each; then all is well.

    ("drop", n): the connection ends after n bytes; ("status", code, headers, body); ("corrupt",): a byte is wrong;
    ("stall", seconds): silence after the first bytes; ("whole",): the range is ignored; ("short",): without a
    length, and half of it; ("vast", length): one that no disk has; ("piece", n): less than the range that was asked for; ("slow", bytes, seconds): a pause after every so many bytes; ("elsewhere",): bytes
    of another place than was asked for.
    """

    files: dict[str, bytes] = field(default_factory=dict)  # "OWNER/REPO/PATH", or any path
    plan: list[tuple[Any, ...]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    licence: str = "apache-2.0"
    token: str = ""  # what a client must show
    digests: bool = True
    tags: bool = True
    listed: int = 0  # the size in the list; 0: as it is
    redirect: str = ""  # to this base; "" serves at once

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(_Handler):
            fake = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_args: None  # type: ignore[method-assign]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def fetched(self) -> list[Request]:
        """The requests for files."""
        return [r for r in self.requests if not r.path.startswith("/api/")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeHub

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.fake.requests.append(Request(self.path, dict(self.headers)))
        if self.path.startswith("http://"):  # asked as a proxy
            self.path = "/" + self.path.split("/", 3)[3]
        if self.fake.token and self.headers.get("Authorization") != f"Bearer {self.fake.token}":
            return self.reply(401, b"Access is restricted")
        if self.path.startswith("/api/models/"):
            return self.list_files()
        action = self.fake.plan.pop(0) if self.fake.plan else ("good",)
        if action[0] == "status":
            return self.reply(action[1], *(action[3:] or (b"not now",)), action[2] if len(action) > 2 else {})
        name = self.path.lstrip("/").replace(f"/resolve/{COMMIT}/", "/")
        content = self.fake.files.get(name)
        if content is None:
            return self.reply(404, b"Entry not found")
        digest = hashlib.sha256(content).hexdigest()
        if self.fake.redirect:
            headers = {"Location": f"{self.fake.redirect}/{name}", "X-Linked-Etag": f'"{digest}"'}
            return self.reply(302, b"", headers)
        self.send_file(content, digest, action)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def list_files(self) -> None:
        repo = self.path.removeprefix("/api/models/").split("/revision/")[0]
        siblings = []
        for name, content in self.fake.files.items():
            if not name.startswith(repo + "/"):
                continue
            size = self.fake.listed or len(content)
            entry: dict[str, Any] = {"rfilename": name.removeprefix(repo + "/"), "size": size}
            if self.fake.digests:
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": size}
            siblings.append(entry)
        if not siblings:
            return self.reply(404, b'{"error":"Repository not found"}')
        model = {"sha": COMMIT, "gated": False, "cardData": {"license": self.fake.licence}, "siblings": siblings}
        self.reply(200, json.dumps(model).encode())

    def send_file(self, content: bytes, digest: str, action: tuple[Any, ...]) -> None:
        tag = f'"{digest[:16]}"'
        start = 0
        asked = self.headers.get("Range", "")
        same = self.headers.get("If-Range", tag) == tag
        if asked and same and action[0] != "whole":
            start = int(asked.removeprefix("bytes=").split("-")[0])
        if start >= len(content):
            return self.reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        body = bytearray(content[start:])
        if action[0] == "corrupt":
            body[len(body) // 2] ^= 1
        if action[0] == "piece":
            body = body[: action[1]]
        self.send_response(206 if start else 200)
        if action[0] != "short":
            self.send_header("Content-Length", str(action[1] if action[0] == "vast" else len(body)))
        if self.fake.tags:
            self.send_header("ETag", tag)
        if start:
            first = start + (1 if action[0] == "elsewhere" else 0)
            self.send_header("Content-Range", f"bytes {first}-{start + len(body) - 1}/{len(content)}")
        if action[0] in ("short", "drop"):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.send_body(bytes(body), action)

    def send_body(self, body: bytes, action: tuple[Any, ...]) -> None:
        if action[0] == "drop":
            self.wfile.write(body[: action[1]])
        elif action[0] == "short":
            self.wfile.write(body[: len(body) // 2])
        elif action[0] == "stall":
            self.wfile.write(body[:1000])
            self.wfile.flush()
            time.sleep(action[1])
        elif action[0] == "slow":
            for at in range(0, len(body), action[1]):
                self.wfile.write(body[at : at + action[1]])
                self.wfile.flush()
                time.sleep(action[2])
        else:
            self.wfile.write(body)
