"""An HTTP client whose every misdeed is deliberate: it leaves at any moment, reads slowly, sends what it likes."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

BUFFER = 1 << 16
SLOW_BUFFER = 2048


class Broken(Exception):
    """No whole answer came back."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float = 0.0
    first_s: float = 0.0  # until the first byte of the head

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Pause = Callable[[], Awaitable[None]]


async def _no_pause() -> None:
    return None


def request_bytes(method: str, path: str, body: Any = None, close: bool = False) -> bytes:
    payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
    return (head + ("Connection: close\r\n" if close else "") + "\r\n").encode() + payload


@dataclass
class Connection:
    """One connection, kept for as many requests as its owner likes."""

    port: int
    slow: bool = False
    reader: asyncio.StreamReader = field(init=False)
    writer: asyncio.StreamWriter = field(init=False)

    async def open(self) -> Connection:
        sock = socket.socket()
        sock.setblocking(False)
        if self.slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        except OSError:
            sock.close()
            raise
        limit = SLOW_BUFFER if self.slow else BUFFER
        self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=limit)
        return self

    async def ask(self, request: bytes, pause: Pause = _no_pause) -> Answer:
        """Send a request and read its whole answer; `pause` is awaited between pieces of the body."""
        start = time.monotonic()
        try:
            self.writer.write(request)
            await self.writer.drain()
            answer = await self._read_head(start)
            answer.body = await self._read_body(answer.headers, pause)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as exc:
            raise Broken(f"{type(exc).__name__}: {exc}") from exc
        answer.seconds = time.monotonic() - start
        return answer

    async def _read_head(self, start: float) -> Answer:
        first = await self.reader.readline()
        first_s = time.monotonic() - start
        if not first.startswith(b"HTTP/1.1 "):
            raise ValueError(f"no answer but {first[:80]!r}")
        headers: dict[str, str] = {}
        while (line := await self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return Answer(int(first.split()[1]), headers, b"", first_s=first_s)

    async def _read_body(self, headers: dict[str, str], pause: Pause) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return await self._read_chunks(pause)
        return await self.reader.readexactly(int(headers.get("content-length", "0")))

    async def _read_chunks(self, pause: Pause) -> bytes:
        parts: list[bytes] = []
        while size := int(await self.reader.readline(), 16):
            parts.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
            await pause()
        await self.reader.readexactly(2)
        return b"".join(parts)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_some(self, n: int) -> bytes:
        try:
            return await self.reader.read(n)
        except OSError:
            return b""

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close so that the peer gets a reset instead of an end."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def ask_once(port: int, request: bytes, timeout: float, slow: bool = False, pause: Pause = _no_pause) -> Answer:
    """A request on a connection of its own."""
    connection = Connection(port, slow)
    try:
        async with asyncio.timeout(timeout):
            await connection.open()
            return await connection.ask(request, pause)
    except TimeoutError as exc:
        raise Broken(f"no whole answer within {timeout:.0f} s") from exc
    except OSError as exc:
        raise Broken(f"cannot connect: {exc}") from exc
    finally:
        if hasattr(connection, "writer"):
            connection.close()
