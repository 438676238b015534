"""GET /metrics and /stats: the text format, what the figures say of known requests, and the documentation."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from kit import ROOT, Server
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

GENERATE = {"temperature": 0, "ignore_eos": True}


def scrape(server: Server) -> dict[str, Metric]:
    """The families by their full names."""
    reply = server.get("/metrics")
    assert reply.status == 200 and reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = list(text_string_to_metric_families(reply.body.decode("utf-8")))
    names = [one.name + "_total" * (one.type == "counter") for one in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def value(families: dict[str, Metric], name: str, sample: str = "", **labels: str) -> float:
    """The one sample whose labels include these; 0 without one."""
    wanted = sample or name
    found = [s.value for s in families[name].samples if s.name == wanted and labels.items() <= s.labels.items()]
    assert len(found) <= 1, found
    return found[0] if found else 0


def count(families: dict[str, Metric], name: str) -> float:
    return value(families, name, f"{name}_count")


def documented() -> dict[str, str]:
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `((?:cllm_|vllm:|llamacpp:)\w+)` \| (counter|gauge|histogram) \|", text, re.MULTILINE))


@pytest.fixture
def plain(make_server: Callable[..., Server]) -> Server:
    return make_server()


@pytest.fixture
def aliased(make_server: Callable[..., Server]) -> Server:
    return make_server("--metrics-aliases")


def test_all_metrics_are_documented_and_the_other_way_round(aliased: Server) -> None:
    assert {name: one.type for name, one in scrape(aliased).items()} == documented()


def test_aliases_only_by_option(plain: Server) -> None:
    assert set(scrape(plain)) == {name for name in documented() if name.startswith("cllm_")}


def test_histograms_are_cumulative(aliased: Server) -> None:
    aliased.generate("Hello", max_tokens=5, **GENERATE)
    aliased.wait_idle()
    histograms = {name: one for name, one in scrape(aliased).items() if one.type == "histogram"}
    assert len(histograms) == 12
    for name, one in histograms.items():
        buckets = [(float(s.labels["le"]), s.value) for s in one.samples if s.name == f"{name}_bucket"]
        assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(buckets)), name
        assert buckets[-1] == (float("inf"), count(histograms, name)) and buckets[-1][1] > 0, name
        assert value(histograms, name, f"{name}_sum") > 0, name


def test_known_requests(aliased: Server) -> None:
    for n in (3, 4):
        aliased.generate("Hello", max_tokens=n, **GENERATE)
    list(aliased.events("/generate_stream", {"prompt": "Hello", "max_tokens": 5, **GENERATE}))
    assert aliased.post("/generate", {"prompt": 1}).status == 400
    assert aliased.post("/generate", {"prompt": "Hello", "max_tokens": 5000, "timeout_ms": 1, **GENERATE}).status == 408
    aliased.get("/nothing")
    aliased.wait_idle()
    one, data = scrape(aliased), aliased.stats()
    assert value(one, "cllm_requests_total", reason="length") == 3
    assert value(one, "cllm_requests_total", reason="timeout") == 1
    assert value(one, "cllm_requests_total", reason="stop") == 0
    assert value(one, "cllm_prefix_query_tokens_total") > 0
    assert value(one, "vllm:request_success_total", finished_reason="length") == 3
    assert value(one, "vllm:request_success_total", finished_reason="abort") == 1
    routes = {"method": "POST", "route": "/generate"}
    assert [value(one, "cllm_http_requests_total", status=s, **routes) for s in ("200", "400", "408")] == [2, 1, 1]
    assert value(one, "cllm_http_requests_total", route="/generate_stream", status="200") == 1
    assert value(one, "cllm_http_requests_total", route="other", status="404") == 1
    assert count(one, "cllm_request_seconds") == count(one, "cllm_request_queue_seconds") == 4
    for name in ("prompt_tokens", "generated_tokens", "drafted_tokens", "accepted_tokens", "preemptions", "prefix_query_tokens", "prefix_hit_tokens"):
        assert value(one, f"cllm_{name}_total") == data[name], name
    for name in ("cached", "touched"):
        assert value(one, f"cllm_kv_blocks_{name}") == data[f"blocks_{name}"], name
    # The request whose deadline passed may have come to its first tokens, or not.
    assert count(one, "cllm_time_to_first_token_seconds") in (3, 4)
    assert count(one, "cllm_time_to_first_token_seconds") + count(one, "cllm_inter_token_seconds") >= 3 + 4 + 5
    assert count(one, "cllm_step_rows") == count(one, "cllm_step_seconds") == data["steps"]
    assert value(one, "cllm_step_rows", "cllm_step_rows_sum") == data["rows"]
    assert value(one, "vllm:generation_tokens_total") == value(one, "llamacpp:tokens_predicted_total") == data["generated_tokens"]


def test_a_client_that_leaves_is_counted(plain: Server) -> None:
    with plain.open("POST", "/generate", {"prompt": "Hello", "max_tokens": 5000, **GENERATE}):
        plain.wait_stats(running=1)
    plain.wait_idle()
    assert value(scrape(plain), "cllm_requests_total", reason="client_gone") == 1


def test_the_model_s_name_is_escaped(make_server: Callable[..., Server]) -> None:
    name = 'a "b"\\c\nd ä'
    one = scrape(make_server("--metrics-aliases", "--model-id", name))
    assert value(one, "cllm_model_info", model=name) == 1
    assert value(one, "vllm:num_requests_running", model_name=name) == 0
    assert [s.labels for s in one["vllm:num_requests_running"].samples] == [{"model_name": name}]


def test_served_while_loading(make_server: Callable[..., Server]) -> None:
    server = make_server(wait=False)
    assert value(scrape(server), "cllm_requests_running") == 0
    server.wait_ready()


def test_sequences_of_stats(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-running", "1")
    socks = []
    for n in range(2):
        socks.append(server.open("POST", "/generate", {"prompt": "Hello", "max_tokens": 5000 + n, **GENERATE}))
        server.wait_stats(running=1, waiting=n)
    try:
        while (data := server.stats())["generated_tokens"] < 2:
            pass
        first, second = data["sequences"]
        assert (first["state"], second["state"]) == ("decode", "queued")
        assert (first["max_tokens"], second["max_tokens"]) == (5000, 5001)
        assert first["tokens"] >= 1 and second["tokens"] == 0 and first["age"] >= second["age"] > 0
        assert first["prompt_tokens"] == second["prompt_tokens"] > 0 and first["id"] != second["id"]
        assert type(data["running"]) is int and type(data["waiting"]) is int
        one = scrape(server)
        assert value(one, "cllm_requests_running") == 1 and value(one, "cllm_requests_waiting") == 1
        assert value(one, "cllm_requests_live") == 2
        assert value(one, "cllm_prompt_tokens_waiting") == data["waiting_tokens"] == second["prompt_tokens"]
        assert value(one, "cllm_kv_blocks") > value(one, "cllm_kv_blocks_used") > 0
    finally:
        for sock in socks:
            sock.close()
    server.wait_idle()
    assert server.stats()["sequences"] == []


def test_evictions(make_server: Callable[..., Server]) -> None:
    server = make_server("--kv-tokens", "512")
    for word in ("one", "two", "six"):
        server.generate(f"{word} " * 300, max_tokens=1)
    one, data = scrape(server), server.stats()
    assert value(one, "cllm_prefix_evictions_total") == data["prefix_evictions"] > 10
    for name in ("cached", "touched"):
        assert value(one, f"cllm_kv_blocks_{name}") == data[f"blocks_{name}"] > 10, name


def test_a_long_prompt_is_in_prefill(make_server: Callable[..., Server]) -> None:
    server = make_server("--prefill-chunk", "16")
    with server.open("POST", "/generate", {"prompt": "word " * 4000, "max_tokens": 2}):
        server.wait_stats(running=1)
        assert [one["state"] for one in server.stats()["sequences"]] == ["prefill"]
    server.wait_idle()


def test_figures_rise_under_load(plain: Server) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            plain.generate("Tell me", max_tokens=10)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        before: dict[tuple[str, str], float] = {}
        for _ in range(20):
            now = {(s.name, str(s.labels)): s.value for one in scrape(plain).values() if one.type != "gauge" for s in one.samples}
            assert all(now[key] >= old for key, old in before.items())
            before = now
    finally:
        stop.set()
        for thread in threads:
            thread.join()
