"""Servers for the tests: one for all that changes nothing, and a factory for those with limits of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from kit import CLLM, MODEL, Server


@pytest.fixture(scope="session", autouse=True)
def _present() -> None:
    for path in (CLLM, MODEL):
        if not path.exists():
            pytest.fail(f"{path} is missing: run `make` and `make models`", pytrace=False)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("serve") / "log", "--cors-origin", "https://example.org, http://localhost:3000")
    try:
        yield server.wait_ready()
    finally:
        server.close()


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The shared server, idle before and after each test."""
    yield shared_server
    shared_server.wait_idle()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server with the given flags; closed and judged at the end."""
    servers: list[Server] = []

    def make(*flags: str, wait: bool = True, log: Path | None = None) -> Server:
        servers.append(Server(tmp_path / f"log{len(servers)}", *flags, log=log))
        return servers[-1].wait_ready() if wait else servers[-1]

    yield make
    for one in servers:
        one.close()


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)
