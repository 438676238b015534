"""A server of several models: found by name in every dialect, loaded when wanted, giving way, and the same bytes as alone."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import anthropic
import ollama
import openai
import pytest
from kit import CLLM, MODEL, PATIENCE_S, ROOT, SLOW, Reply, Server
from prometheus_client.parser import text_string_to_metric_families

SMALL = ["--threads", "1", "--kv-tokens", "4096"]
GREEDY = {"temperature": 0, "repetition_penalty": 1.1, "ignore_eos": True}
LARGE = {"x_padding": " " * 5000}  # such bodies are parsed beside the loop
SAY = [{"role": "user", "content": "Boats?"}]
Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tiny models that say different things, "first" and "second"."""
    folder = tmp_path_factory.mktemp("models")
    made = {"first": folder / "one.gguf", "second": folder / "two.gguf"}
    for path, kind in zip(made.values(), ["llama", "qwen3"], strict=True):
        maker = [sys.executable, str(ROOT / "tools/make_model.py"), kind, "--tiny", "--type", "q8_0", "--out", str(path)]
        subprocess.run(maker, check=True, capture_output=True)
    return made



@pytest.fixture
def serve(files: dict[str, Path], tmp_path: Path) -> Iterator[Serve]:
    """Start a server of both; closed and judged at the end, unless it is to complain of something."""
    servers: list[Server] = []
    complaining: list[Server] = []

    def start(*flags: str, models: dict[str, Path] = files, complains: bool = False, env: dict[str, str] | None = None) -> Server:
        (first, *others) = [f"{name}={path}" for name, path in models.items()]
        more = [word for other in others for word in ("--model", other)]
        server = Server(tmp_path / f"log{len(servers)}", *SMALL, *more, *flags, model=Path(first), env=env)
        servers.append(server)
        if complains:
            complaining.append(server)
        return server.wait_ready()

    yield start
    for server in servers:
        if server in complaining:
            server.signal()
            assert server.process.wait(PATIENCE_S) == 0, server.log
        else:
            server.close()


@pytest.fixture(scope="module")
def both(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that only ask."""
    log = tmp_path_factory.mktemp("serve") / "log"
    server = Server(log, *SMALL, "--metrics-aliases", "--model", f"second={files['second']}", model=Path(f"first={files['first']}"))
    try:
        yield server.wait_ready()
    finally:
        server.close()


def tokens(server: Server, model: str | None, prompt: str = "The harbour", n: int = 8, **fields: Any) -> str:
    return server.generate(prompt, max_tokens=n, **GREEDY, **({"model": model} if model else {}), **fields)["text"]


def states(server: Server) -> dict[str, str]:
    return {one["id"]: one["state"] for one in server.get("/v1/models").json["data"]}


def wait_states(server: Server, **wanted: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not wanted.items() <= states(server).items():
        assert time.monotonic() < end, (wanted, states(server))
        time.sleep(0.005)


# ---- which one


def test_names(both: Server, files: dict[str, Path]) -> None:
    first, second = tokens(both, "first"), tokens(both, "second")
    assert first != second
    assert tokens(both, None) == tokens(both, "") == first
    said = both.get("/model/info?model=second").data["model_name"]
    assert " " in said  # or the escapes below show nothing
    for name in ["second:latest", "two", "two.gguf", "two:latest", said]:
        assert tokens(both, name) == second, name
    for query in ["second", "second:latest", said.replace(" ", "%20"), said.replace(" ", "+")]:
        assert both.get(f"/model/info?model={query}").data["id"] == "second"
        assert both.get(f"/stats?model={query}").data["model"] == "second"
    assert both.get("/stats").data["model"] == both.get("/stats?model=").data["model"] == "first"
    assert both.get("/v1/models/second").json["id"] == "second"


UNKNOWN: list[tuple[str, dict[str, Any], Callable[[Any], str]]] = [
    ("/v1/chat/completions", {"messages": SAY}, lambda e: e["error"]["message"] if e["error"]["code"] == "model_not_found" else ""),
    ("/v1/completions", {"prompt": "x"}, lambda e: e["error"]["message"] if e["error"]["param"] == "model" else ""),
    ("/v1/responses", {"input": "x"}, lambda e: e["error"]["message"]),
    ("/v1/embeddings", {"input": "x"}, lambda e: e["error"]["message"]),
    ("/tokenize", {"prompt": "x"}, lambda e: e["error"]["message"]),
    ("/v1/messages", {"messages": SAY, "max_tokens": 1}, lambda e: e["error"]["message"] if e["error"]["type"] == "not_found_error" else ""),
    ("/v1/messages/count_tokens", {"messages": SAY}, lambda e: e["error"]["message"]),
    ("/api/chat", {"messages": SAY}, lambda e: e["error"]),
    ("/api/generate", {"prompt": "x"}, lambda e: e["error"]),
    ("/api/embed", {"input": "x"}, lambda e: e["error"]),
    ("/api/show", {}, lambda e: e["error"]),
    ("/generate", {"prompt": "x"}, lambda e: e["error"] if e["success"] is False else ""),
    ("/encode", {"text": "x"}, lambda e: e["error"]),
    ("/benchmark", {}, lambda e: e["error"]),
]


@pytest.mark.parametrize(("path", "body", "message"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
@pytest.mark.parametrize("padding", [{}, LARGE], ids=["small", "large"])
def test_unknown_in_every_dialect(path: str, body: dict[str, Any], message: Callable[[Any], str], padding: dict[str, str], both: Server) -> None:
    reply = both.post(path, {**body, "model": "third", **padding})
    assert reply.status == 404
    assert message(reply.json) == 'the model "third" is not served here; there is "first", "second"'


def test_unknown_in_queries(both: Server) -> None:
    for path in ["/stats?model=third", "/model/info?model=third", "/v1/models/third"]:
        reply = both.get(path)
        assert reply.status == 404 and "third" in reply.body.decode(), path


def test_official_clients_choose(both: Server) -> None:
    said = {}
    for name in ["first", "second"]:
        chat = openai.OpenAI(base_url=f"{both.url}/v1", api_key="x", max_retries=0).chat.completions
        one = chat.create(model=name, messages=[{"role": "user", "content": "Boats?"}], max_tokens=8, temperature=0)
        message = anthropic.Anthropic(base_url=both.url, api_key="x", max_retries=0).messages.create(
            model=name, max_tokens=8, extra_body={"temperature": 0}, messages=[{"role": "user", "content": "Boats?"}]
        )
        local = ollama.Client(both.url).chat(model=f"{name}:latest", messages=SAY, options={"temperature": 0, "repeat_penalty": 1, "num_predict": 8})
        assert one.model == message.model == name and local.model in (name, f"{name}:latest")
        text = "".join(block.text for block in message.content if block.type == "text")
        assert one.choices[0].message.content == text == local.message.content
        said[name] = text
    assert said["first"] != said["second"]


def test_lists(serve: Serve) -> None:
    server = serve()
    assert states(server) == {"first": "ready", "second": "unloaded"}
    rows = {one["id"]: one for one in server.get("/v1/models").json["data"]}
    assert "max_model_len" in rows["first"] and "max_model_len" not in rows["second"]
    assert [one.model for one in ollama.Client(server.url).list().models] == ["first", "second"]
    assert [one.model for one in ollama.Client(server.url).ps().models] == ["first"]
    assert server.get("/model/info?model=second").data["state"] == "unloaded"
    assert server.get("/stats?model=second").data["loads"] == 0
    assert len(server.post("/v1/embeddings", {"model": "second", "input": "x"}).json["data"]) == 1
    assert [one.model for one in ollama.Client(server.url).ps().models] == ["first", "second"]
    assert server.get("/stats?model=second").data["loads"] == 1
    assert states(server) == {"first": "ready", "second": "ready"}


def test_metrics(both: Server) -> None:
    tokens(both, "first")
    tokens(both, "second")
    text = both.get("/metrics").body.decode()
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    of_models: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for s in family.samples:
            key = s.name, frozenset(s.labels.items())
            assert key not in seen, key
            seen.add(key)
            name = s.labels.get("model", s.labels.get("model_name"))
            if name is not None:
                of_models.setdefault(s.name, set()).add(name)
    assert of_models["cllm_generated_tokens_total"] == of_models["vllm:generation_tokens_total"] == {"first", "second"}
    assert {name for names in of_models.values() for name in names} == {"first", "second"}
    assert len(re.findall("^# TYPE (.*) ", text, re.MULTILINE)) == len(set(re.findall("^# TYPE (.*) ", text, re.MULTILINE)))


# ---- loading and giving way


def test_bodies_and_streams_for_one_that_is_not_loaded(serve: Serve) -> None:
    server = serve()
    with ThreadPoolExecutor(4) as pool:
        large = pool.submit(tokens, server, "second", **LARGE)
        small = pool.submit(tokens, server, "second")
        stream = pool.submit(lambda: list(server.events("/v1/completions", {"model": "second", "prompt": "The harbour", "max_tokens": 8, "stream": True, **GREEDY})))
        chunks = stream.result()
        assert chunks[-1] == "[DONE]"
        assert "".join(json.loads(chunk)["choices"][0]["text"] for chunk in chunks[:-1]) == small.result() == large.result() == tokens(server, "second")
    assert server.get("/stats?model=second").data["loads"] == 1


def mixed(number: int) -> tuple[str, dict[str, Any]]:
    """A request, the same for the same number."""
    fields = {"model": ["first", "second"][number % 2], "max_tokens": 4 + number % 5, "seed": number, "ignore_eos": True, **(LARGE if number % 5 == 0 else {})}
    texts = ["The harbour", "Small boats come in one after another", "Boats " * 100]
    text = texts[number % 3]
    if number % 4 == 1:
        return "/v1/completions", {"prompt": text, "temperature": 0.9, "n": 2, **fields}
    if number % 4 == 2:
        return "/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "temperature": 0.7, **fields}
    return "/generate", {"prompt": text, "temperature": 0.8, **fields}


def said(reply: Reply) -> Any:
    assert reply.status == 200, reply.body
    return reply.json["data"]["text"] if "data" in reply.json else reply.json["choices"]


def test_turns_change_no_byte(serve: Serve) -> None:
    roomy = serve("--prefix-cache=0")
    jobs = [mixed(number) for number in range(48)]
    alone = [said(roomy.post(*job)) for job in jobs]
    narrow = serve("--model-budget-mb", "1")
    for server in (roomy, narrow):
        with ThreadPoolExecutor(16) as pool:
            together = list(pool.map(lambda job, server=server: said(server.post(*job)), jobs))
        assert together == alone
    assert sorted(states(narrow).values()) == ["ready", "unloaded"]
    assert narrow.get("/stats?model=first").data["loads"] >= 2  # it has come back
    assert " model_unload " not in roomy.log


def stormy(server: Server, rng: random.Random, jobs: list[tuple[str, dict[str, Any]]], alone: list[Any]) -> None:
    """One request with some fate, whichever model is loaded meanwhile."""
    number = rng.randrange(len(jobs))
    path, body = jobs[number]
    fate = rng.choice(["whole", "whole", "leave", "late", "look"])
    if fate == "whole":
        assert said(server.post(path, body)) == alone[number]
    elif fate == "leave":
        sock = server.open("POST", path, {**body, "max_tokens": 300})
        sock.settimeout(rng.random() * 0.2)
        with contextlib.suppress(TimeoutError):
            sock.recv(rng.choice([1, 4000]))
        sock.close()
    elif fate == "late":
        reply = server.post(path, {**body, "max_tokens": 300, "timeout_ms": rng.randint(1, 200)})
        assert reply.status in (200, 408), reply.body
    else:
        for route in ("/v1/models", "/stats?model=second", "/metrics", "/api/ps"):
            assert server.get(route).status == 200


def test_a_storm_over_both(serve: Serve) -> None:
    """Ends of every kind while the models take turns and rest, and signals: nothing is held, and no byte is another."""
    server = serve("--model-budget-mb", "1", "--model-idle-s", "1", "--max-queue", "128")
    jobs = [mixed(number) for number in range(24)]
    alone = [said(server.post(*job)) for job in jobs]

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(16):
            stormy(server, rng, jobs, alone)

    with ThreadPoolExecutor(10) as pool:
        works = [pool.submit(work, seed) for seed in range(10)]
        while not all(one.done() for one in works):
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                server.signal(number)
            wait(works, timeout=0.05)
    for one in works:
        one.result()
    wait_states(server, first="unloaded", second="unloaded")  # nobody holds them
    assert server.log.count(" request_start ") == server.log.count(" request_end ")
    assert [said(server.post(*job)) for job in jobs[:4]] == alone[:4]


def resident_mib(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found.group(1)) // 1024


@pytest.mark.skipif(CLLM.parent.name != "release", reason="a sanitizer keeps what is freed")
def test_memory_returns(serve: Serve, files: dict[str, Path]) -> None:
    server = serve("--model-idle-s", "1", models={"first": files["first"], "large": MODEL})
    file_mib = MODEL.stat().st_size >> 20
    rounds = []
    for _ in range(3):
        tokens(server, "large")
        most = resident_mib(server)
        wait_states(server, first="unloaded", large="unloaded")
        rounds.append((most, resident_mib(server)))
    assert all(most - least > file_mib * 3 // 4 for most, least in rounds), rounds
    assert rounds[2][1] - rounds[0][1] < 16, rounds  # nothing is kept each time
    assert server.get("/health").status == 200
    assert tokens(server, "first")  # the default comes back, too


def test_a_file_disappears(serve: Serve, files: dict[str, Path], tmp_path: Path) -> None:
    gone = tmp_path / "gone.gguf"
    gone.write_bytes(files["second"].read_bytes())
    server = serve(models={"first": files["first"], "second": gone}, complains=True)
    gone.unlink()
    for body in [{"prompt": "x"}, {"prompt": "x" * 5000}]:
        reply = server.post("/v1/completions", {"model": "second", "max_tokens": 1, **body})
        assert reply.status == 500 and reply.json["error"]["code"] == "model_not_loaded"
        assert '"second" cannot be loaded: cannot read the model' in reply.json["error"]["message"]
    assert server.get("/health").status == 200 and tokens(server, "first")
    gone.write_bytes(files["second"].read_bytes())
    assert tokens(server, "second")


@pytest.mark.parametrize("flags", [[], ["--default-timeout-ms", "400"]], ids=["named", "default"])
def test_deadline_while_it_waits(flags: list[str], serve: Serve, files: dict[str, Path]) -> None:
    server = serve("--model-budget-mb", "1", *flags, models={"first": MODEL, "second": files["second"]})
    sock = server.open("POST", "/generate", {"prompt": "x", "max_tokens": 3500, "timeout_ms": 600000, **GREEDY})
    server.wait_stats(running=1)
    routes: list[tuple[str, dict[str, Any]]] = [("/generate", {"prompt": "x"}), ("/v1/chat/completions", {"messages": SAY, "stream": True}), ("/api/chat", {"messages": SAY}), ("/tokenize", {"prompt": "x"})]
    limit = {} if flags else {"timeout_ms": 400}
    start = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        late = list(pool.map(lambda one: server.post(one[0], {"model": "second", **one[1], **limit, **one[2]}), [(*route, padding) for route in routes for padding in ({}, LARGE)]))
    assert 0.4 <= time.monotonic() - start < 0.4 + 5 * SLOW
    assert [(one.status, b"deadline passed" in one.body) for one in late] == [(408, True)] * len(late)
    assert server.stats()["running"] == 1 and states(server)["second"] == "unloaded"  # who waited no longer wants it
    sock.close()
    server.wait_idle()
    assert tokens(server, "second")


@pytest.mark.parametrize("n_signals", [1, 2])
def test_end_while_one_is_loaded(n_signals: int, serve: Serve, files: dict[str, Path]) -> None:
    server = serve(models={"first": files["first"], "large": MODEL})
    socks = [server.open("POST", "/generate", {"model": "large", "prompt": "x" * size, "max_tokens": 3}) for size in (3, 5000)]
    end = time.monotonic() + PATIENCE_S
    while " model_load " not in server.log:
        assert time.monotonic() < end
        time.sleep(0.001)
    for _ in range(n_signals):
        server.signal()
    for sock in socks:
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
        assert not answer or answer.startswith((b"HTTP/1.1 503", b"HTTP/1.1 200")), answer
        sock.close()
    assert server.process.wait(PATIENCE_S) == 0


# ---- the start


def refused(*words: str) -> str:
    done = subprocess.run([str(CLLM), "serve", "--port", "0", *SMALL, *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode != 0
    return done.stderr


def test_refused_at_the_start(files: dict[str, Path], tmp_path: Path) -> None:
    first, second = files.values()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(second.read_bytes()[:200])
    assert str(bad) in refused("--model", str(first), "--model", str(bad))
    assert "missing.gguf" in refused("--model", str(first), "--model", str(tmp_path / "missing.gguf"))
    twice = refused("--model", f"x={first}", "--model", f"x={second}")
    assert 'two models would be called "x"' in twice and str(first) in twice and str(second) in twice
    assert "two models would be called" in refused("--model", str(first), "--model", str(first))
    assert "--model ID=MODEL" in refused("--model", str(first), "--model", str(second), "--model-id", "x")


def test_a_name_that_is_empty_is_none(files: dict[str, Path], tmp_path: Path) -> None:
    """It has an id before it is loaded, too: its file's name."""
    data, n_name = files["second"].read_bytes(), 0
    for key, change in [(b"general.name", -1), (b"general.basename", 1)]:  # what one loses the other gets: all else stays in place
        at = data.index(key) + len(key) + 4
        n = int.from_bytes(data[at : at + 8], "little")
        n_name = n if change < 0 else n_name
        text = b"" if change < 0 else data[at + 8 : at + 8 + n] + b"x" * n_name
        data = data[:at] + len(text).to_bytes(8, "little") + text + data[at + 8 + n :]
    nameless = tmp_path / "nameless.gguf"
    nameless.write_bytes(data)
    server = Server(tmp_path / "log", *SMALL, "--model", str(nameless), model=Path(f"first={files['first']}"))
    try:
        server.wait_ready()
        assert states(server) == {"first": "ready", "nameless.gguf": "unloaded"}
        assert tokens(server, "nameless") == tokens(server, "nameless.gguf")
    finally:
        server.close()


def test_ps_shows_the_names(serve: Serve, tmp_path: Path) -> None:
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    serve(env=env)
    done = subprocess.run([str(CLLM), "ps"], capture_output=True, text=True, env=env, timeout=PATIENCE_S, check=True)
    assert "first, second" in done.stdout
