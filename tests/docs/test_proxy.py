"""What docs/operations.md shows of nginx and Caddy is run: streams come as they are made, the page's own requests pass, clients that
leave free their work."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from code_blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/api"))

from kit import Server  # noqa: E402

PAGE = ROOT / "docs/operations.md"
PATIENCE_S = 30
LONG = {"prompt": "Once upon a time", "max_tokens": 4000, "ignore_eos": True, "stream": True}


def program(name: str) -> str | None:
    unpacked = ROOT / ".venv" / name / name
    return shutil.which(name) or (str(unpacked) if unpacked.exists() else None)


def shown(beginning: str) -> str:
    """The block of the page that begins so."""
    (text,) = [block.text for block in blocks(PAGE) if block.text.startswith(beginning)]
    return text


def nginx_config(folder: Path, port: int, behind: int) -> str:
    text = shown("upstream cllm").replace("127.0.0.1:8080", f"127.0.0.1:{behind}").replace("/etc/ssl", str(folder))
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    rest = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    assert rest.count(str(port)) and rest.count(str(behind)) and rest.count(str(folder)) == 2
    return f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {paths} {rest} }}"


def caddy_config(folder: Path, port: int, behind: int) -> str:
    text = shown("llm.example.org {").replace("127.0.0.1:8080", f"127.0.0.1:{behind}")
    text = text.replace("llm.example.org {", f"https://localhost:{port} {{\n    tls {folder}/chain.pem {folder}/key.pem")
    assert str(port) in text and str(behind) in text
    return "{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}\n" + text


@dataclass
class Proxy:
    port: int

    def post(self, path: str, body: dict[str, object], **headers: str) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        trusting = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE_S, context=trusting)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        return connection, connection.getresponse()

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S):
                return True
        except OSError:
            return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(name: str, folder: Path, behind: int) -> tuple[subprocess.Popen[bytes], Proxy]:
    """On a port that was free just now; another one, should it have been taken since."""
    for _ in range(5):
        proxy = Proxy(free_port())
        config = folder / f"{name}.conf"
        config.write_text((nginx_config if name == "nginx" else caddy_config)(folder, proxy.port, behind), encoding="utf-8")
        flags = ["-p", str(folder), "-c", str(config), "-e", str(folder / "errors")]
        if name == "caddy":
            flags = ["run", "--config", str(config), "--adapter", "caddyfile"]
        env = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([str(program(name)), *flags], cwd=folder, env=env, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < end:
            if proxy.answers():
                return process, proxy
            time.sleep(0.05)
        process.kill()
        process.wait()
    raise AssertionError((folder / "log").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("serve") / "log")
    try:
        yield server.wait_ready()
    finally:
        server.close()


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    if not program(request.param):
        pytest.skip(f"no {request.param} here")
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                    "-days", "2", "-keyout", "key.pem", "-out", "chain.pem"], cwd=folder, check=True, capture_output=True)  # fmt: skip
    process, proxy = start(request.param, folder, server.port)
    yield proxy
    process.terminate()
    process.wait(PATIENCE_S)


@pytest.mark.parametrize("path", ["/generate", "/api/generate"])
def test_a_stream_comes_as_it_is_made(server: Server, proxy: Proxy, path: str) -> None:
    """Its beginning is here while the request is still computed; the client then leaves, and the work ends."""
    body = LONG | {"options": {"num_predict": 4000}, "raw": True, "prompt": "Once upon a time"} if path.startswith("/api") else LONG
    connection, response = proxy.post(path, body)
    assert response.status == 200 and response.readline()
    assert server.get("/stats").data["running"] == 1
    response.close()
    connection.close()
    end = time.monotonic() + PATIENCE_S
    while server.get("/stats").data["live"]:
        assert time.monotonic() < end, "the client has left, and the request goes on"
        time.sleep(0.05)


def test_the_page_may_ask(proxy: Proxy) -> None:
    for host, status in ((f"localhost:{proxy.port}", 200), ("stranger.example", 403)):
        connection, response = proxy.post("/generate", {"prompt": "x", "max_tokens": 1}, Origin=f"https://{host}")
        assert response.status == status, response.read()
        connection.close()
