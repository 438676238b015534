"""HTTP itself: methods, heads, bodies, connections."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import PATIENCE_S, Server


def talk(server: Server, request: bytes) -> bytes:
    """Send bytes, read until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(request)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
        return answer


def test_unknown_paths(server: Server) -> None:
    native = server.get("/nothing/here")
    assert native.status == 404 and native.json["success"] is False
    reply = server.get("/v1/nothing")
    assert reply.status == 404 and reply.json["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(("path", "words"), [
    ("/v1/audio/speech", "text only"), ("/v1/images/generations", "text only"), ("/v1/moderations", "response_format"), ("/v1/rerank", "/v1/embeddings"),
    ("/rerank", "/v1/embeddings"), ("/v1/responses/resp_1", "stores nothing"), ("/v1/batches", "no jobs"), ("/chat/completions", "must end in /v1"),
    ("/models", "must end in /v1"), ("/v1/v1/chat/completions", "adds /v1 itself"), ("/v1/something", "GET / lists"),
])  # fmt: skip
def test_routes_that_clients_look_for(server: Server, path: str, words: str) -> None:
    for reply in (server.post(path, {}), server.get(path)):
        assert reply.status == 404 and set(reply.json["error"]) == {"message", "type", "param", "code"}
        assert reply.json["error"]["code"] == "unknown_route" and path in reply.json["error"]["message"] and words in reply.json["error"]["message"]


def test_routes_of_other_dialects_that_clients_look_for(server: Server) -> None:
    pulled = server.post("/api/pull", {"model": "x"})
    assert pulled.status == 404 and set(pulled.json) == {"error"} and "cllm pull" in pulled.json["error"]
    batch = server.post("/v1/messages/batches", {})
    assert batch.status == 404 and batch.json["error"]["type"] == "not_found_error" and "no jobs" in batch.json["error"]["message"]


@pytest.mark.parametrize(("path", "words"), [
    ("/completion", "there is /v1/completions"), ("/infill", "with a suffix"), ("/props", "/model/info"), ("/slots", "/stats"), ("/lora-adapters", "merged"),
])  # fmt: skip
def test_routes_of_llama_cpp(server: Server, path: str, words: str) -> None:
    reply = server.post(path, {})
    assert reply.status == 404 and path in reply.json["error"] and words in reply.json["error"]
    assert "must end in /v1" in server.post("/completions", {}).json["error"]["message"]


@pytest.mark.parametrize(("method", "path", "allow"), [("GET", "/generate", "POST, OPTIONS"), ("PUT", "/generate", "POST, OPTIONS"),
                                                       ("DELETE", "/health", "GET, HEAD, OPTIONS"), ("PATCH", "/", "GET, HEAD, OPTIONS")])
def test_wrong_methods(server: Server, method: str, path: str, allow: str) -> None:
    reply = server.request(method, path)
    assert reply.status == 405 and reply.headers["allow"] == allow and reply.json["success"] is False


def test_wrong_method_for_openai(server: Server) -> None:
    reply = server.get("/v1/chat/completions")
    assert reply.status == 405 and reply.json["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize("version", [b"0.1", b"0.9", b"2.0", b"9.9", b"1.2", b"1.4444"])
def test_only_http_1(server: Server, version: bytes) -> None:
    answer = talk(server, b"GET /health HTTP/" + version + b"\r\nHost: x\r\n\r\n")
    assert answer.split(b"\r\n")[0] in (b"HTTP/1.1 505 HTTP Version Not Supported", b"HTTP/1.1 400 Bad Request"), answer


def test_head(server: Server) -> None:
    body = server.get("/health")
    head = server.request("HEAD", "/health")
    assert head.status == 200 and head.body == b"" and head.headers["content-length"] == body.headers["content-length"]
    answer = talk(server, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_options_and_cors(server: Server, make_server: Callable[..., Server]) -> None:
    asks = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,x-custom"}
    reply = server.request("OPTIONS", "/v1/chat/completions", headers=asks)
    assert reply.status == 204 and reply.headers["allow"] == "POST, OPTIONS"
    assert reply.headers["access-control-allow-origin"] == "https://example.org"
    assert "x-custom" in reply.headers["access-control-allow-headers"]
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert "authorization" in reply.headers["access-control-allow-headers"] and reply.headers["vary"] == "Origin"
    for origin, allowed in (("https://example.org", True), ("http://localhost:3000", True), ("https://example.org.evil", False),
                            ("http://localhost", False), ("null", False), ("", False)):
        for path in ("/health", "/nothing"):
            reply = server.get(path, Origin=origin)
            assert reply.headers["vary"] == "Origin"
            assert reply.headers.get("access-control-allow-origin") == (origin if allowed else None)
            assert ("retry-after" in reply.headers.get("access-control-expose-headers", "").lower()) is allowed
    refused = server.request("OPTIONS", "/generate", headers={**asks, "Origin": "https://evil.example"})
    assert refused.status == 204 and not [name for name in refused.headers if name.startswith("access-control")]
    assert "access-control-allow-origin" not in server.get("/health").headers
    closed = make_server().request("OPTIONS", "/generate", headers=asks)
    assert closed.status == 204 and not [name for name in closed.headers if name.startswith("access-control")]
    for_all = make_server("--cors-origin", "*", "--api-key", "k")
    for path, status in (("/health", 200), ("/stats", 401)):
        reply = for_all.get(path, Origin="https://anybody.example")
        assert reply.status == status and reply.headers["access-control-allow-origin"] == "*" and "vary" not in reply.headers


def test_keep_alive(server: Server) -> None:
    connection = server.connect()
    connection.request("GET", "/health")
    assert connection.getresponse().read()
    sock = connection.sock
    body = json.dumps({"prompt": "x", "max_tokens": 2}).encode()
    for path in ("/generate", "/nothing", "/generate_stream", "/generate"):
        connection.request("POST", path, body=body, headers={"Authorization": "Bearer unused"})
        assert connection.getresponse().read()
        assert connection.sock is sock, path
    connection.close()


def test_pipelining(server: Server) -> None:
    one = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = talk(server, one + one + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 3


def test_http_1_0(server: Server) -> None:
    answer = talk(server, b"GET /health HTTP/1.0\r\n\r\n")
    assert b" 200 " in answer.split(b"\r\n")[0] and b"healthy" in answer


def test_chunked_body(server: Server) -> None:
    connection = server.connect()
    parts = iter([b'{"prompt":', b'"Hello",', b'"max_tokens":2}'])
    connection.request("POST", "/generate", body=parts, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    response = connection.getresponse()
    assert response.status == 200 and json.loads(response.read())["data"]["generated_tokens"] <= 2
    connection.close()


def test_expect_continue(server: Server) -> None:
    body = b'{"text":"Hello"}'
    head = b"POST /encode HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(head % len(body))
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(body)
        assert b"200 OK" in sock.recv(65536)


@pytest.mark.parametrize("request_bytes", [
    b"garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n",
    b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
])
def test_garbage_is_refused(server: Server, request_bytes: bytes) -> None:
    try:
        answer = talk(server, request_bytes)
    except ConnectionError:
        answer = b""
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert server.get("/health").status == 200


def test_body_limit(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-body-bytes", "100000")
    room = 100000 - len(json.dumps({"text": ""}))
    assert server.post("/encode", {"text": " " * room}).status == 200
    for path, shape in (("/encode", "success"), ("/v1/completions", "error")):
        reply = server.post(path, {"text": " " * (room + 1)})
        assert reply.status == 413 and shape in reply.json
    assert server.request("POST", "/encode", b" " * 3_000_000).status == 413  # refused before it has arrived
    assert server.get("/health").status == 200


def test_large_prompt(server: Server) -> None:
    """Nothing hangs on bodies that take several reads."""
    text = "Some words to make it long. " * 1500
    tokens = server.post("/encode", {"text": text}).data["length"]
    assert tokens > 5000


def test_too_many_connections(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-connections", "4")
    connections = [server.connect() for _ in range(4)]
    for connection in connections:
        connection.connect()
        connection.request("GET", "/health")
        assert connection.getresponse().read()
    with pytest.raises((ConnectionError, OSError)):
        server.get("/health")
    for connection in connections:
        connection.close()
    assert server.wait_ready()


def own_addresses() -> list[str]:
    """IPv4 addresses of this machine, but for loopback."""
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    return [one for one in found if ":" not in one]


@pytest.mark.skipif(not own_addresses(), reason="this machine has no address but loopback")
def test_one_client_cannot_take_all_places(tmp_path: Path) -> None:
    """Who has as many connections as one may have gets no more; others do, and so does it when one has been closed."""
    server = Server(tmp_path / "log", "--host", "0.0.0.0", "--max-client-connections", "3", "--max-connections", "50", "--api-key", "k" * 20)
    address = own_addresses()[0]

    def health(connection: http.client.HTTPConnection) -> int:
        connection.request("GET", "/health")
        reply = connection.getresponse()
        reply.read()
        return reply.status

    def open_one() -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(address, server.port, timeout=PATIENCE_S)
        assert health(connection) == 200
        return connection

    try:
        server.wait_ready()
        held = [open_one() for _ in range(3)]
        for _ in range(5):
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                open_one()
        local = [server.connect() for _ in range(10)]  # a proxy on this machine stands for many
        assert {health(one) for one in local} == {200}
        assert {health(one) for one in held} == {200}  # those that are there go on
        held.pop().close()
        end = time.monotonic() + PATIENCE_S
        while len(held) < 3:
            try:
                held.append(open_one())
            except (ConnectionError, http.client.HTTPException):
                assert time.monotonic() < end, "no place has become free"
        server.wait_log(r"connections_refused count=[1-5] open=\d+")
        for connection in (*held, *local):
            connection.close()
    finally:
        server.close()


def test_idle_connections_are_closed(make_server: Callable[..., Server]) -> None:
    server = make_server("--idle-timeout-s", "1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(b"POST /generate HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        assert sock.recv(100) == b""
    data = server.generate("Hello", max_tokens=200, ignore_eos=True)  # longer than the idle time where slow
    assert data["generated_tokens"] == 200


def test_pages_of_strangers_cannot_put_it_to_work(server: Server) -> None:
    """A "simple" POST needs no preflight: a page of any origin may send it."""
    body = json.dumps({"text": "hello"}).encode()
    own = f"http://127.0.0.1:{server.port}"
    for origin, status in ((None, 200), (own, 200), ("https://example.org", 200), ("https://evil.example", 403), ("null", 403),
                           (f"http://127.0.0.1:{server.port + 1}", 403), ("https://example.org.evil", 403)):  # fmt: skip
        headers = {"Content-Type": "text/plain", **({"Origin": origin} if origin else {})}
        reply = server.request("POST", "/encode", body, headers)
        assert reply.status == status, (origin, reply.body)
    reply = server.request("POST", "/v1/messages", body, {"Origin": "https://evil.example"})
    assert reply.status == 403 and reply.json["error"]["type"] == "permission_error"
    assert server.get("/health", Origin="https://evil.example").status == 200
