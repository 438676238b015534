"""One keep-alive connection to the server, and one timed request over it.

Blocking sockets, one connection a worker thread. The clock runs from before the request is written until
the last byte of its reply is read. Nothing is retried: a request that fails is a failure.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from .protocols import Protocol, Reply, error_text
from .result import RequestRecord


class Client:
    """An HTTP connection that opens itself when needed and stays open between requests."""

    def __init__(self, url: str, timeout: float, api_key: str | None = None) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "localhost", parts.port, timeout=timeout)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self.timeout = timeout

    def send(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        """Send a request and return the reply's head; the caller reads its body."""
        self._connection.request(method, self._prefix + path, body=body, headers=self._headers)
        return self._connection.getresponse()

    def get_json(self, path: str) -> tuple[int, Any]:
        """GET `path`; the status and the decoded body (None when it is not JSON)."""
        response = self.send("GET", path)
        return response.status, _decode(response.read())

    def close(self) -> None:
        """Close the connection; the next request opens it anew."""
        self._connection.close()


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def describe_failure(exc: Exception, timeout: float) -> str:
    """One line for an exception of the socket, HTTP or JSON layer."""
    if isinstance(exc, socket.timeout):
        return f"timeout: no reply within {timeout:g} s"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    if isinstance(exc, socket.gaierror):
        return f"host not found: {exc.strerror or exc}"
    if isinstance(exc, http.client.RemoteDisconnected):
        return "the server closed the connection without a reply"
    if isinstance(exc, http.client.IncompleteRead):
        return "the server closed the connection in the middle of the reply"
    if isinstance(exc, http.client.HTTPException):
        return f"not a valid HTTP reply: {type(exc).__name__}"
    if isinstance(exc, ValueError):
        return f"not a valid reply: {exc}"[:200]
    return f"{type(exc).__name__}: {exc}"


def judge(status: int, reply: Reply, max_tokens: int) -> str | None:
    """Why a completed exchange is not a success; None when it is one.

    A success is HTTP 200 with exactly the promised tokens, or with fewer when the server itself reports
    that the model ended its text (finish reason "stop").
    """
    if status != 200:
        return f"HTTP {status}: {reply.error or 'no message'}"
    if reply.error:
        return f"error in a reply with status 200: {reply.error}"
    hint = f" (text begins: {reply.text[:60]!r})" if reply.text.startswith("Error") else ""
    if reply.tokens is None:
        return "the reply has no token count" + hint
    if reply.tokens > max_tokens:
        return f"{reply.tokens} tokens, more than max_tokens {max_tokens}"
    if reply.tokens == 0:
        return "no token was generated" + hint
    if reply.tokens < max_tokens and reply.finish_reason != "stop":
        reason = reply.finish_reason or "none"
        return f"{reply.tokens} of {max_tokens} tokens without a stop (finish reason: {reason}){hint}"
    return None


def _read_stream(response: http.client.HTTPResponse, protocol: Protocol, reply: Reply, deadline: float,
                 clock: Callable[[], float]) -> list[float]:
    """Read a stream to its end; the arrival times of the events that brought text."""
    stamps: list[float] = []
    while True:
        line = response.readline()
        now = clock()
        if not line:
            break
        if now > deadline:
            raise TimeoutError("deadline")
        if protocol.sse:
            if not line.startswith(b"data:"):
                continue
            line = line[5:]
        line = line.strip()
        if line == b"[DONE]":
            reply.done = True
        elif line and protocol.read_event(json.loads(line), reply):
            stamps.append(now)
    if not reply.done and reply.error is None:
        reply.error = "the stream ended before its last event"
    return stamps


def perform(client: Client, protocol: Protocol, body: bytes, max_tokens: int, record: RequestRecord,
            clock: Callable[[], float] = perf_counter) -> None:
    """Send one generating request and write all that was seen of it into `record`; never raises."""
    reply = Reply()
    stamps: list[float] = []
    record.start = clock()
    try:
        response = client.send("POST", protocol.path(), body)
        record.status = response.status
        if response.status != 200:
            reply.error = error_text(_decode(response.read()))
        elif protocol.options.stream:
            stamps = _read_stream(response, protocol, reply, record.start + client.timeout, clock)
        else:
            protocol.read(json.loads(response.read()), reply)
        record.end = clock()
        record.error = judge(response.status, reply, max_tokens)
        if record.error is None and record.latency > client.timeout:
            record.error = f"timeout: the reply took more than {client.timeout:g} s"
    except (OSError, http.client.HTTPException, ValueError) as exc:
        record.end = clock()
        record.error = describe_failure(exc, client.timeout)
        client.close()
    record.tokens = reply.tokens
    record.prompt_tokens = reply.prompt_tokens
    record.finish_reason = reply.finish_reason
    if stamps:
        record.ttft = stamps[0] - record.start
        record.gaps = [later - earlier for earlier, later in zip(stamps, stamps[1:])]
