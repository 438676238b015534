"""Under load: the same bytes as alone, honest refusals, a health check that answers, a clean end."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from kit import PATIENCE_S, Server

SENTENCES = ["The sea is", "Once upon a time", "\u4f60\u597d\uff0c\u4e16\u754c", "def main():", "Q: Why?\nA:", "1 2 3 4", "Dear Sir", "Tea or"]


def bodies() -> list[dict]:
    """32 requests: greedy and seeded, of many lengths."""
    out = []
    for i in range(32):
        prompt = SENTENCES[i % 8] + " and" * (i // 8 * 7)
        sampling = {"temperature": 0} if i % 2 else {"temperature": 1.2, "seed": i, "top_p": 0.95}
        out.append({"prompt": prompt, "max_tokens": 8 + i, **sampling})
    return out


def test_concurrent_equals_alone(server: Server) -> None:
    alone = [server.generate(**body) for body in bodies()]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda body: server.generate(**body), bodies()))
    for one, other in zip(alone, together, strict=True):
        assert one["text"] == other["text"] and one["generated_tokens"] == other["generated_tokens"]


def test_queue_full(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-running", "1", "--max-queue", "1")
    body = {"prompt": "Hello", "max_tokens": 2000, "ignore_eos": True}
    first = server.open("POST", "/generate", body)
    server.wait_stats(running=1)
    second = server.open("POST", "/generate", body)
    server.wait_stats(waiting=1)
    native = server.post("/generate", body)
    assert native.status == 429 and native.json["success"] is False
    assert 1 <= int(native.headers["retry-after"]) <= 600
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
    with pytest.raises(openai.RateLimitError) as caught:
        client.completions.create(model=client.models.list().data[0].id, prompt="x", max_tokens=5)
    assert caught.value.type == "rate_limit_error" and caught.value.code == "queue_full"
    assert server.post("/benchmark", {"requests": 3, "max_tokens": 5}).status == 429
    first.close()
    second.close()
    server.wait_idle()
    assert server.generate("Hello", max_tokens=2)["generated_tokens"] >= 1


def test_queue_of_tokens_full(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-running", "1", "--max-queue-tokens", "300")
    body = {"prompt": "Hello", "max_tokens": 2000, "ignore_eos": True}
    first = server.open("POST", "/generate_stream", body)
    first.recv(1000)  # its prompt waits no longer
    second = server.open("POST", "/generate", {**body, "prompt": "word " * 290})
    assert 290 <= server.wait_stats(waiting=1)["waiting_tokens"] <= 300
    reply = server.post("/generate", {**body, "prompt": "word " * 20})
    assert reply.status == 429 and "(max_queue_tokens)" in reply.json["error"]
    assert 1 <= int(reply.headers["retry-after"]) <= 600
    error = server.post("/v1/completions", {**body, "prompt": "word " * 20}).json["error"]
    assert error["code"] == "queue_full" and "(max_queue_tokens)" in error["message"]
    third = server.open("POST", "/generate", body)  # a few tokens fit
    server.wait_stats(waiting=2)
    for sock in (first, second, third):
        sock.close()
    server.wait_idle()
    assert server.stats()["waiting_tokens"] == 0


def test_priority(make_server: Callable[..., Server]) -> None:
    """Served in the order of their levels, and one of a higher level takes the only place at once."""
    server = make_server("--max-running", "1")
    fields = {"prompt": "Once upon a time", "max_tokens": 20, "temperature": 0, "ignore_eos": True}
    alone = server.generate(**fields)["text"]
    ends: list[int] = []

    def ask(priority: int) -> str:
        text = server.generate(**fields, priority=priority)["text"]
        ends.append(priority)
        return text

    low = server.open("POST", "/generate_stream", {**fields, "max_tokens": 1000, "priority": -10})
    low.recv(1000)
    with ThreadPoolExecutor(4) as pool:
        high = server.open("POST", "/generate", {**fields, "max_tokens": 4000, "priority": 10})
        server.wait_stats(running=1, waiting=1)
        assert {s["priority"]: s["state"] for s in server.stats()["sequences"]}[-10] == "preempted"
        asked = [pool.submit(ask, priority) for priority in (-3, 3, -9, 9)]
        stats = server.wait_stats(waiting=5)
        assert sorted(s["priority"] for s in stats["sequences"] if s["state"] == "queued") == [-9, -3, 3, 9]
        high.close()
        assert [one.result() for one in asked] == [alone] * 4
    assert ends == [9, 3, -3, -9]
    low.close()
    server.wait_idle()


def test_health_under_load(server: Server) -> None:
    """Beside many answers it does not wait for any of them."""
    stop = threading.Event()
    answers: list[float] = []

    def timed(call: Callable[[], object]) -> float:
        start = time.monotonic()
        call()
        return time.monotonic() - start

    def work() -> None:
        while not stop.is_set():
            answers.append(timed(lambda: server.generate("Tell me something", max_tokens=30)))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    times = []
    try:
        while len(times) < 40 or not answers:
            times.append(timed(lambda: server.get("/health").data))
            time.sleep(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert statistics.median(times) < statistics.median(answers) / 4, (times, answers)


def test_loading_then_draining(make_server: Callable[..., Server]) -> None:
    server = make_server(wait=False)
    health = server.get("/health")
    assert health.status in (200, 503)
    if health.status == 503:
        assert health.json["data"]["status"] == "loading"
        assert server.post("/generate", {"prompt": "x"}).status in (200, 503)
    server.wait_ready()
    body = {"prompt": "Hello", "max_tokens": 150, "temperature": 0, "ignore_eos": True}
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(server.generate, **body) for _ in range(2)]
        server.wait_stats(running=2)
        server.signal(signal.SIGTERM)
        server.wait_log("draining")
        health = server.get("/health")
        assert health.status == 503 and health.json["data"]["status"] == "draining"
        refused = server.post("/generate", body)
        assert refused.status == 503 and "shutting down" in refused.json["error"]
        assert server.post("/v1/completions", {"prompt": "x"}).json["error"]["code"] == "draining"
        assert [one.result()["generated_tokens"] for one in running] == [150, 150]
    assert server.process.wait(PATIENCE_S) == 0


def test_second_signal_ends_at_once(make_server: Callable[..., Server]) -> None:
    server = make_server("--drain-timeout-s", "3600")
    sock = server.open("POST", "/generate", {"prompt": "Hello", "max_tokens": 5000, "ignore_eos": True})
    server.wait_stats(running=1)
    server.signal()
    server.wait_log("draining")
    server.signal()
    assert b" 503 " in sock.recv(65536).split(b"\r\n")[0]
    assert server.process.wait(PATIENCE_S) == 0


def test_drain_timeout(make_server: Callable[..., Server]) -> None:
    server = make_server("--drain-timeout-s", "1")
    sock = server.open("POST", "/generate", {"prompt": "Hello", "max_tokens": 5000, "ignore_eos": True})
    server.wait_stats(running=1)
    server.signal()
    assert b" 503 " in sock.recv(65536).split(b"\r\n")[0]
    assert server.process.wait(PATIENCE_S) == 0
