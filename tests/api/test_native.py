"""The native API: every field of every route."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

from kit import Server

PROMPT = "The capital of France is"


def test_root_lists_the_endpoints(server: Server) -> None:
    data = server.get("/").data
    assert data["name"] == "cLLM" and re.fullmatch(r"\d+\.\d+\.\d+", data["version"])
    paths = {(e["method"], e["path"]) for e in data["endpoints"]}
    assert {("GET", "/health"), ("POST", "/generate"), ("POST", "/v1/chat/completions")} <= paths
    assert all(e["description"] for e in data["endpoints"])


def test_root_for_a_browser(server: Server) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    page = server.get("/", Accept=accept)
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    assert b"<title>cLLM</title>" in page.body
    for other in ("*/*", "application/json", "application/json, text/html;q=0.5"):
        assert server.get("/", Accept=other).data["name"] == "cLLM"


def test_health(server: Server) -> None:
    assert server.get("/health").data == {"status": "healthy", "model_loaded": True}


def test_model_info(server: Server) -> None:
    info = server.get("/model/info").data
    words = ("model_path", "model_name", "model_family", "model_type")
    numbers = ("vocab_size", "tokenizer_vocab_size", "hidden_size", "num_layers", "num_attention_heads",
               "num_key_value_heads", "max_sequence_length", "intermediate_size", "rope_theta", "rms_norm_eps")
    assert all(isinstance(info[name], str) and info[name] for name in words)
    assert all(info[name] > 0 for name in numbers)
    assert info["quantization"]["enabled"] is True and isinstance(info["quantization"]["type"], str)
    assert info["use_kv_cache"] is True


def test_generate(server: Server) -> None:
    before = time.monotonic()
    data = server.generate(PROMPT, max_tokens=12, temperature=0, ignore_eos=True)
    took = time.monotonic() - before
    assert re.fullmatch(r"[0-9a-f]{32}", data["id"])
    assert data["generated_tokens"] == data["max_tokens"] == 12 and data["finish_reason"] == "length"
    assert data["prompt_tokens"] == server.post("/encode", {"text": PROMPT}).data["length"]
    assert 0 < data["response_time"] <= took
    assert abs(data["tokens_per_second"] - 12 / data["response_time"]) < 0.01 * data["tokens_per_second"]
    assert isinstance(data["text"], str) and data["text"]


def test_defaults(server: Server) -> None:
    data = server.generate("Once upon a time", ignore_eos=True)
    assert data["max_tokens"] == data["generated_tokens"] == 100
    nulls = dict.fromkeys(("temperature", "top_p", "top_k", "seed", "stop", "stream", "repetition_penalty"))
    assert server.generate(PROMPT, **nulls, max_tokens=2)["max_tokens"] == 2


def test_seed_and_temperature_zero(server: Server) -> None:
    first = server.generate(PROMPT, max_tokens=16, seed=7, temperature=1.5)["text"]
    assert server.generate(PROMPT, max_tokens=16, seed=7, temperature=1.5)["text"] == first
    assert len({server.generate(PROMPT, max_tokens=16, temperature=1.5)["text"] for _ in range(3)}) == 3
    greedy = {server.generate(PROMPT, max_tokens=16, temperature=0, seed=s)["text"] for s in (1, 2)}
    assert len(greedy) == 1
    top_one = server.generate(PROMPT, max_tokens=16, temperature=2, top_k=1)["text"]
    assert top_one == greedy.pop()


def test_repetition_penalty_is_honoured(server: Server) -> None:
    plain = server.generate(PROMPT, max_tokens=40, temperature=0, repetition_penalty=1, ignore_eos=True)["text"]
    assert server.generate(PROMPT, max_tokens=40, temperature=0, repetition_penalty=2, ignore_eos=True)["text"] != plain


def test_stop_is_not_shown(server: Server) -> None:
    fields = {"max_tokens": 30, "temperature": 0, "ignore_eos": True}
    text = server.generate(PROMPT, **fields)["text"]
    stop = text[10:14]  # lies across token borders
    data = server.generate(PROMPT, **fields, stop=stop)
    assert data["text"] == text[: text.index(stop)] and data["finish_reason"] == "stop"
    assert data["generated_tokens"] < 30
    assert server.generate(PROMPT, **fields, stop=["never seen \u2603", stop])["text"] == data["text"]
    server.wait_idle()


def test_generate_stream(server: Server) -> None:
    body = {"prompt": PROMPT, "max_tokens": 20, "temperature": 0}
    whole = server.generate(**body)
    for path, fields in (("/generate_stream", body), ("/generate", {**body, "stream": True})):
        events = [json.loads(line) for line in server.events(path, fields)]
        assert len({e["id"] for e in events}) == 1 and re.fullmatch(r"[0-9a-f]{32}", events[0]["id"])
        assert [e["done"] for e in events] == [False] * (len(events) - 1) + [True]
        assert "".join(e["token"] for e in events) == whole["text"]
        assert events[-1]["token"] == "" and events[-1]["generated_tokens"] == whole["generated_tokens"]
        assert events[-1]["finish_reason"] == whole["finish_reason"]


def test_encode(server: Server) -> None:
    data = server.post("/encode", {"text": "Hello, world"}).data
    assert data["length"] == len(data["tokens"]) > 0 and all(isinstance(t, int) for t in data["tokens"])
    whole = server.post("/encode", {"text": "a<|im_end|>b"}).data["tokens"]
    assert len(whole) == 3
    assert len(server.post("/encode", {"text": "a<|im_end|>b", "parse_special": False}).data["tokens"]) > 3
    assert server.post("/encode", {"text": ""}).data["length"] == 0
    odd = server.post("/encode", {"text": "nul \u0000, \u4f60\u597d, \U0001f600"}).data
    assert odd["length"] > 5


def test_benchmark(server: Server) -> None:
    fields = {"requests": 6, "concurrency": 3, "max_tokens": 8, "prompt": PROMPT, "temperature": 0.7, "ignore_eos": True}
    before = server.stats()
    data = server.post("/benchmark", fields).data
    after = server.stats()
    assert data["total_requests"] == data["successful_requests"] == 6 and data["failed_requests"] == 0
    assert data["total_tokens_processed"] == after["generated_tokens"] - before["generated_tokens"] == 48
    assert data["avg_generated_tokens"] == 8
    assert 0 < data["min_response_time"] <= data["avg_response_time"] <= data["max_response_time"]
    assert data["max_response_time"] <= data["total_time"]
    assert abs(data["avg_throughput"] * data["total_time"] - 48) < 0.1
    assert data["avg_tokens_per_second"] > 0


def test_benchmark_where_one_request_has_place(make_server: Callable[..., Server]) -> None:
    """One that a stop string ends keeps the place for a moment."""
    server = make_server("--max-running", "1", "--max-queue", "0")
    body = {"requests": 4, "concurrency": 1, "prompt": PROMPT, "stop": [" "], "max_tokens": 20}
    assert server.post("/benchmark", body).data["successful_requests"] == 4


def test_benchmark_has_a_priority(server: Server) -> None:
    body = {"requests": 2, "concurrency": 2, "max_tokens": 3000, "ignore_eos": True, "priority": -7}
    with server.open("POST", "/benchmark", body):
        server.wait_stats(live=2)
        assert [one["priority"] for one in server.stats()["sequences"]] == [-7, -7]
    server.wait_idle()


def test_benchmark_takes_prompts_in_turn(server: Server) -> None:
    prompts = ["One prompt", "Another one that is longer than the first"]
    lengths = [server.post("/encode", {"text": text}).data["length"] for text in prompts]
    data = server.post("/benchmark", {"requests": 3, "concurrency": 2, "max_tokens": 2, "ignore_eos": True, "prompt": prompts}).data
    assert data["total_prompt_tokens"] == 2 * lengths[0] + lengths[1]
    salted = {"requests": 4, "concurrency": 1, "max_tokens": 2, "ignore_eos": True, "stop": ["x"], "cache_salt": "s" * 60}
    assert server.post("/benchmark", salted).data["successful_requests"] == 4  # both stay valid for later requests
