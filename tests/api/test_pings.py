"""Streams that have nothing to say for long say that they live, and every client reads on behind that."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest
from kit import PATIENCE_S, ROOT, SLOW, Server

NODE = shutil.which("node") or str(ROOT / ".venv/bin/node")
SAY = "Name three colours."
CHAT = {"messages": [{"role": "user", "content": SAY}], "max_tokens": 8, "temperature": 0}
MANY = {"prompt": "Hello", "priority": 10, "max_tokens": 7000, "ignore_eos": True}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"prompt": SAY, "max_tokens": 8, "temperature": 0},
    "/v1/responses": {"input": SAY, "max_output_tokens": 8, "temperature": 0},
    "/v1/messages": CHAT,
    "/generate": {"prompt": SAY, "max_tokens": 8, "temperature": 0},
}


class Hog:
    """A server whose only place is taken until `leave`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.sock: socket.socket = server.open("POST", "/generate_stream", MANY)
        self.sock.recv(1000)

    def leave(self) -> None:
        self.sock.close()


@pytest.fixture
def hog(make_server: Callable[..., Server]) -> Iterator[Hog]:
    hog = Hog(make_server("--max-running", "1", "--sse-ping-s", "1"))
    yield hog
    hog.leave()
    hog.server.wait_idle()


class Listener(threading.Thread):
    """Reads a stream; `pinged` is set when something has come twice before the answer."""

    def __init__(self, server: Server, path: str, **more: Any) -> None:
        super().__init__()
        self.server, self.path, self.more = server, path, more
        self.pinged = threading.Event()
        self.blocks: list[str] = []
        self.start()

    def run(self) -> None:
        connection = self.server.connect()
        connection.request("POST", self.path, body=json.dumps({**BODIES[self.path], **self.more, "stream": True}).encode())
        response = connection.getresponse()
        self.status, block = response.status, ""
        for line in response:
            block += line.decode()
            if line == b"\n":
                self.blocks.append(block)
                block = ""
            if sum(self.is_ping(one) for one in self.blocks) == 2:
                self.pinged.set()
        connection.close()

    def is_ping(self, block: str) -> bool:
        event = {"/v1/messages": "event: ping\n", "/v1/responses": "event: response.in_progress\n"}.get(self.path)
        return block.startswith(event) if event else block == ": ping\n\n"

    @property
    def answer(self) -> list[str]:
        """Without pings, and without what differs between two answers."""
        said = [json.loads(b.split("data: ")[1]) for b in self.blocks if "{" in b and not self.is_ping(b)]
        deltas = (v.get("delta") or v.get("token") or v.get("choices") for v in said)
        return [json.dumps(one) for one in deltas if one]


def test_every_stream_but_lines(hog: Hog) -> None:
    listeners = [Listener(hog.server, path) for path in BODIES]
    lines = hog.server.open("POST", "/api/chat", {**CHAT, "model": hog.server.get("/v1/models").json["data"][0]["id"]})
    hog.server.wait_stats(waiting=len(BODIES) + 1)
    for one in listeners:
        assert one.pinged.wait(PATIENCE_S), one.path
    lines.settimeout(0.01)
    with pytest.raises(TimeoutError):
        lines.recv(1)
    hog.leave()
    lines.settimeout(PATIENCE_S)
    assert lines.recv(12) == b"HTTP/1.1 200"
    lines.close()
    for one in listeners:
        one.join()
        alone = Listener(hog.server, one.path)
        alone.join()
        assert one.status == 200 and one.answer and one.answer == alone.answer, one.path


def sdk_answers(server: Server) -> dict[str, Callable[[], str]]:
    """What the official clients make of a stream."""
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    claude = anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)
    model = server.get("/v1/models").json["data"][0]["id"]

    def chat() -> str:
        chunks = client.chat.completions.create(model=model, stream=True, **CHAT)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    def completion() -> str:
        chunks = client.completions.create(model=model, stream=True, **BODIES["/v1/completions"])
        return "".join(chunk.choices[0].text for chunk in chunks)

    def response() -> str:
        with client.responses.stream(model=model, **BODIES["/v1/responses"]) as stream:
            return "".join(event.delta for event in stream if event.type == "response.output_text.delta")

    def message() -> str:
        cold = {"temperature": 0}
        with claude.messages.stream(model=model, max_tokens=8, messages=CHAT["messages"], extra_body=cold) as stream:
            return stream.get_final_text()

    def node() -> str:
        command = [NODE, str(ROOT / "tests/node/stream.js"), server.url, SAY]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240 * SLOW)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return {"chat": chat, "completion": completion, "response": response, "message": message, "node": node}


def test_the_official_clients_read_on(hog: Hog) -> None:
    asks = sdk_answers(hog.server)
    with ThreadPoolExecutor(8) as pool:
        answers = {name: pool.submit(ask) for name, ask in asks.items()}
        try:
            hog.server.wait_stats(waiting=len(asks) + 1)  # node asks twice
            last = Listener(hog.server, "/v1/chat/completions")
            assert last.pinged.wait(PATIENCE_S)  # and so have the others been, which came before
        finally:
            hog.leave()
        for name, answer in answers.items():
            assert answer.result() and answer.result() == asks[name](), name


@pytest.mark.parametrize(("path", "event"), [("/v1/chat/completions", "data: "), ("/v1/messages", "event: error\n"),
                                             ("/v1/responses", "event: response.failed\n")])  # fmt: skip
def test_what_fails_behind_a_ping_says_so_in_the_stream(hog: Hog, path: str, event: str) -> None:
    late = Listener(hog.server, path, timeout_ms=6000)
    late.join()
    assert late.status == 200 and late.pinged.is_set()
    assert late.blocks[-1].startswith(event) and "deadline" in late.blocks[-1]


def test_without_pings_the_status_tells(make_server: Callable[..., Server]) -> None:
    hog = Hog(make_server("--max-running", "1", "--sse-ping-s", "0"))
    late = Listener(hog.server, "/v1/chat/completions", timeout_ms=500)
    late.join()
    assert late.status == 408
    hog.leave()
    hog.server.wait_idle()
