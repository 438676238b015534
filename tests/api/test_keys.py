"""API keys: who is let in, how a refusal looks to each client, reading them anew, and that they stand in no log."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
from kit import CLLM, MODEL, PATIENCE_S, Server

KEY = "sk-violet-3f9a"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys").write_text(f"# for the tests\n{KEY}\n\n  sk-amber-77 \n", encoding="utf-8")
    server = Server(folder / "log", "--api-key-file", str(folder / "keys"), "--log-level", "debug")
    yield server.wait_ready()
    log = server.log
    server.close()
    assert "violet" not in log and "amber" not in log


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_open_without_a_key(locked: Server) -> None:
    assert locked.get("/health").status == 200 and locked.get("/").status == 200
    assert locked.request("HEAD", "/health").status == 200
    assert locked.get("/assets/none").status == 404  # and not 401
    assert locked.request("OPTIONS", "/v1/chat/completions").status == 204


@pytest.mark.parametrize(("method", "path"), [("GET", "/metrics"), ("GET", "/stats"), ("GET", "/model/info"), ("POST", "/generate"),
                                              ("GET", "/nothing"), ("PUT", "/health/"), ("GET", "//health"), ("GET", "/health/../stats"), ("GET", "/assets")])
def test_native_refusal(locked: Server, method: str, path: str) -> None:
    reply = locked.request(method, path)
    assert reply.status == 401 and reply.json["success"] is False and "API key" in reply.json["error"]
    assert reply.headers["www-authenticate"] == "Bearer"


def test_openai_refusal(locked: Server) -> None:
    reply = locked.get("/v1/models", **bearer(KEY[:-1]))
    assert reply.status == 401
    assert reply.json["error"] | {"message": ""} == {"message": "", "type": "authentication_error", "param": None, "code": "invalid_api_key"}
    assert reply.body == locked.get("/v1/models").body  # it does not say how near
    client = openai.OpenAI(base_url=f"{locked.url}/v1", api_key="sk-other", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="x", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "invalid_api_key"


def test_admitted(locked: Server) -> None:
    client = openai.OpenAI(base_url=f"{locked.url}/v1", api_key=KEY, max_retries=0)
    made = client.chat.completions.create(model=client.models.list().data[0].id, max_tokens=2, messages=[{"role": "user", "content": "Hi"}])
    assert made.usage and made.usage.completion_tokens <= 2
    assert locked.get("/metrics", **bearer("sk-amber-77")).status == 200
    assert locked.get("/stats", **{"x-api-key": KEY}).status == 200
    assert locked.get("/nothing", **bearer(KEY)).status == 404


def test_read_anew(make_server: Callable[..., Server], tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first-key\n", encoding="utf-8")
    server = make_server("--api-key-file", str(keys))
    assert server.get("/stats", **bearer("first-key")).status == 200
    keys.write_text("second-key\n", encoding="utf-8")
    server.signal(signal.SIGHUP)
    server.wait_log("keys_reloaded keys=1")
    assert server.get("/stats", **bearer("first-key")).status == 401
    assert server.get("/stats", **bearer("second-key")).status == 200


def test_environment_and_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judgement of the shared kit allows no error line, and here there is one."""
    monkeypatch.setenv("CLLM_API_KEY", KEY)
    server = Server(tmp_path / "log")
    server.wait_ready()
    assert server.get("/stats").status == 401 and server.get("/stats", **bearer(KEY)).status == 200
    server.close()
    keys = tmp_path / "keys"
    keys.write_text("first-key\n", encoding="utf-8")
    server = Server(tmp_path / "log2", "--api-key-file", str(keys))
    server.wait_ready()
    keys.write_text("hidden words\n", encoding="utf-8")
    server.signal(signal.SIGHUP)
    server.wait_log("keys_not_reloaded")
    assert server.get("/stats", **bearer("first-key")).status == 200 and "hidden" not in server.log
    server.signal()
    assert server.process.wait(PATIENCE_S) == 0


def serve_briefly(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(CLLM), "serve", "--model", str(MODEL), *flags], capture_output=True, text=True, timeout=PATIENCE_S)


def test_no_server_without_its_keys(tmp_path: Path) -> None:
    missing = serve_briefly("--port", "0", "--api-key-file", str(tmp_path / "none"))
    assert missing.returncode == 1 and "--api-key-file" in missing.stderr and "No such file" in missing.stderr


def test_warns_when_open_to_others(tmp_path: Path) -> None:
    for flags, expected in ((("--host", "0.0.0.0"), True), (("--host", "0.0.0.0", "--api-key", KEY), False), ((), False)):
        server = Server(tmp_path / f"log{len(flags)}", *flags)
        server.wait_log("listening")
        assert ("no_api_key host=0.0.0.0" in server.log) is expected and KEY not in server.log
        server.signal()
        assert server.process.wait(PATIENCE_S) == 0
