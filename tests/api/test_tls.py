"""HTTPS: a certificate from a CA of its own, real clients, peers that do not speak TLS or stop speaking, and a new certificate."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from hostile import read_all
from kit import CLLM, MODEL, PATIENCE_S, SLOW, Reply, Server


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def make_pair(folder: Path, name: str, ca: Path) -> None:
    """NAME.pem (with its CA behind it) and NAME.key for localhost."""
    extensions = folder / "ext"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n", encoding="ascii")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", str(folder / f"{name}.key"),
            "-out", str(folder / "csr"))
    openssl("x509", "-req", "-in", str(folder / "csr"), "-CA", str(ca), "-CAkey", str(ca.with_suffix(".key")), "-CAcreateserial", "-days", "30",
            "-extfile", str(extensions), "-out", str(folder / f"{name}.pem"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test CA", "-days", "30",
            "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem"))
    for name in ("first", "second"):
        make_pair(folder, name, folder / "ca.pem")
    for end in (".pem", ".key"):
        shutil.copy(folder / f"first{end}", folder / f"used{end}")
    return folder


class TlsServer(Server):
    """The plain helpers of the kit over TLS."""

    ca: str

    def connect(self, timeout: float = 120 * SLOW) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=ssl.create_default_context(cafile=self.ca))

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[TlsServer]:
    TlsServer.ca = str(folder / "ca.pem")
    one = TlsServer(folder / "log", "--tls-cert", str(folder / "used.pem"), "--tls-key", str(folder / "used.key"), "--header-timeout-s", "1",
                    "--max-body-bytes", "100000")
    yield one.wait_ready()
    one.wait_idle()
    one.close()


def subject(server: TlsServer) -> str:
    context = ssl.create_default_context(cafile=server.ca)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S), server_hostname="localhost") as sock:
        return str(sock.getpeercert()["subject"][0][0][1])


def test_openai_client(server: TlsServer) -> None:
    web = openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=server.ca))
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, http_client=web)
    messages = [{"role": "user", "content": "Hi"}]
    model = client.models.list().data[0].id
    whole = client.chat.completions.create(model=model, messages=messages, max_tokens=20, temperature=0, seed=1)
    stream = client.chat.completions.create(model=model, messages=messages, max_tokens=20, temperature=0, seed=1, stream=True)
    parts = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(parts) == whole.choices[0].message.content and len(parts) > 5
    web.close()


def test_curl(server: TlsServer) -> None:
    made = subprocess.run(["curl", "-sS", "--cacert", server.ca, f"{server.url}/health"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert "healthy" in made.stdout, made.stderr
    doubtful = subprocess.run(["curl", "-sS", f"{server.url}/health"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert doubtful.returncode == 60 and not doubtful.stdout


def test_keep_alive_and_refusals(server: TlsServer) -> None:
    connection = server.connect()
    for path in ("/health", "/nothing", "/health"):
        connection.request("GET", path)
        assert connection.getresponse().read()
    connection.close()
    assert server.request("POST", "/encode", b" " * 3_000_000).status == 413
    odd = server.connect()
    odd.connect()
    odd.sock.sendall(b"GET /health HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
    response = http.client.HTTPResponse(odd.sock)
    response.begin()
    assert Reply(response).status == 400


def test_large_bodies_and_answers(server: TlsServer) -> None:
    assert server.post("/encode", {"text": "a b " * 20_000}).data["length"] > 20_000


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(server: TlsServer, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=server.ca)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S), server_hostname="localhost") as sock:
        assert sock.version() == version.name.replace("_", ".") and sock.selected_alpn_protocol() == "http/1.1"
        assert sock.cipher()[0].startswith(("TLS_", "ECDHE-"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_version_is_refused(server: TlsServer) -> None:
    context = ssl.create_default_context(cafile=server.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S), server_hostname="localhost")


@pytest.mark.parametrize("sent", [b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 500, b"\x16\x03\x01\xff\xff" + b"\xff" * 500])
def test_no_tls(server: TlsServer, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(sent)
        answer = read_all(sock)
    assert b"HTTP" not in answer and len(answer) < 20  # an alert at most
    assert server.get("/health").status == 200


def test_stalled_handshake_is_cut(server: TlsServer) -> None:
    hello = struct.pack("!BHH", 22, 0x0301, 200) + b"\x01\x00\x00\xc4\x03\x03"  # announces 200 bytes
    for sent in (b"", hello):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
            sock.sendall(sent)
            assert read_all(sock) == b""


def test_new_certificate(server: TlsServer, folder: Path) -> None:
    old = server.connect()
    old.connect()
    assert subject(server) == "first"
    for end in (".pem", ".key"):
        shutil.copy(folder / f"second{end}", folder / f"used{end}")
    server.signal(signal.SIGHUP)
    server.wait_log(r"(?s)certificate until=20.*certificate until=20")
    assert subject(server) == "second"
    old.request("GET", "/health")  # what began with the first one goes on
    assert old.getresponse().status == 200


def test_broken_certificate_keeps_the_old_one(folder: Path) -> None:
    for end in (".pem", ".key"):
        shutil.copy(folder / f"first{end}", folder / f"other{end}")
    server = TlsServer(folder / "log2", "--tls-cert", str(folder / "other.pem"), "--tls-key", str(folder / "other.key"))
    server.wait_ready()
    shutil.copy(folder / "second.pem", folder / "other.pem")  # not the key's
    server.signal(signal.SIGHUP)
    assert "mismatch" in server.wait_log("certificate_not_reloaded.*").group()
    assert subject(server) == "first"
    server.signal()
    assert server.process.wait(PATIENCE_S) == 0


def test_no_server_without_its_certificate(folder: Path) -> None:
    openssl("ec", "-in", str(folder / "first.key"), "-aes256", "-passout", "pass:x", "-out", str(folder / "locked.key"))
    for flags, words in ((["--tls-cert", "first.pem"], "belong together"), (["--tls-cert", "none.pem", "--tls-key", "first.key"],
                          "none.pem cannot be used as the certificate: No such file or directory"),
                         (["--tls-cert", "first.key", "--tls-key", "first.key"], "first.key holds no certificate in PEM form"),
                         (["--tls-cert", "first.pem", "--tls-key", "first.pem"], "first.pem holds no key in PEM form"),
                         (["--tls-cert", "first.pem", "--tls-key", "second.key"], "mismatch"),
                         (["--tls-cert", "first.pem", "--tls-key", "locked.key"], "locked.key cannot be used as the key: bad decrypt (it must be")):
        command = [str(CLLM), "serve", "--model", str(MODEL), "--port", "0", *flags]
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
        assert made.returncode == 1 and words in made.stderr, made.stderr
