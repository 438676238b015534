"""The prefix cache changes how much of a prompt is computed, and not one byte of an answer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from kit import Server

WORDS = "stone river lamp seven under the quiet harbour wrote a letter to its north window every morning".split()
SAMPLINGS = [{"temperature": 0}, {"temperature": 0.8, "seed": 3, "top_p": 0.9}, {"temperature": 1.2, "seed": 4}]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that computes every prompt."""
    server = Server(tmp_path_factory.mktemp("plain") / "log", "--prefix-cache", "0")
    try:
        yield server.wait_ready()
    finally:
        server.close()


def text(seed: int, n_words: int) -> str:
    chosen = random.Random(seed)
    return " ".join(chosen.choice(WORDS) for _ in range(n_words))


def body(system: int, question: int, **fields: object) -> dict:
    messages = [
        {"role": "system", "content": text(system, 120)},
        {"role": "user", "content": text(1000 + question, 5 + question)},
    ]
    return {"messages": messages, "max_tokens": 12 + question, **SAMPLINGS[question % 3], **fields}


def ask(server: Server, one: dict) -> tuple[str, int]:
    """The answer, and how many tokens of the prompt were found."""
    reply = server.post("/v1/chat/completions", one)
    assert reply.status == 200, reply.body
    usage = reply.json["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert 0 <= cached < usage["prompt_tokens"] and cached % 16 == 0
    return reply.json["choices"][0]["message"]["content"], cached


@pytest.fixture(scope="module")
def crowd(plain: Server) -> tuple[list[dict], list[str]]:
    """Requests that a small pool cannot hold together, and their lone answers."""
    bodies = [body(20 + i % 2, i, max_tokens=60, ignore_eos=True) for i in range(8)]
    return bodies, [ask(plain, one)[0] for one in bodies]


def test_cached_tokens(server: Server, plain: Server) -> None:
    before = server.stats()
    first, again = ask(server, body(1, 0)), ask(server, body(1, 0))
    other = ask(server, body(1, 1))
    assert first[0] == again[0] == ask(plain, body(1, 0))[0] and other[0] == ask(plain, body(1, 1))[0]
    assert first[1] < 16 * 3 < 100 < other[1] <= again[1]  # the template may begin with a system message of its own
    after = server.stats()
    assert after["prefix_hit_tokens"] - before["prefix_hit_tokens"] == first[1] + again[1] + other[1]
    assert (
        after["prefix_query_tokens"] - before["prefix_query_tokens"] == after["prompt_tokens"] - before["prompt_tokens"]
    )


def test_off(plain: Server) -> None:
    assert [ask(plain, body(2, 0))[1] for _ in range(2)] == [0, 0]
    stats = plain.stats()
    assert stats["prefix_query_tokens"] == stats["prefix_hit_tokens"] == stats["prefix_evictions"] == 0


def test_streams_tell_it_too(server: Server) -> None:
    one = body(3, 0, stream=True, stream_options={"include_usage": True})
    for least in (0, 100):
        events = list(server.events("/v1/chat/completions", one))
        usage = json.loads(events[-2])["usage"]
        assert least <= usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


def test_a_stop_string(server: Server) -> None:
    answer, _ = ask(server, body(4, 0))
    stopped = ask(server, body(4, 0, stop=answer[3:6]))
    assert stopped[0] == answer[: answer.index(answer[3:6])] and stopped[1] > 100


def test_a_salt_keeps_apart(server: Server) -> None:
    found = [ask(server, body(5, 0, cache_salt=salt))[1] > 100 for salt in ("alice", "bob", "alice", "", None, "")]
    assert found == [False, False, True, False, True, True]
    found = []
    for salt in ("alice", "bob", "alice"):
        before = server.stats()["prefix_hit_tokens"]
        server.generate(text(6, 120), max_tokens=1, cache_salt=salt)
        found.append(server.stats()["prefix_hit_tokens"] - before > 100)
    assert found == [False, False, True]


@pytest.mark.parametrize("salt", ["x" * 129, 7, ["a"]])
def test_bad_salts(server: Server, salt: object) -> None:
    reply = server.post("/v1/chat/completions", body(5, 0, cache_salt=salt))
    assert reply.status == 400 and reply.json["error"]["param"] == "cache_salt"
    assert server.post("/generate", {"prompt": "x", "cache_salt": salt}).status == 400


def test_many_at_once(server: Server, plain: Server) -> None:
    """Three system messages, and many questions behind each; asked together, twice."""
    bodies = [body(10 + i % 3, i) for i in range(12)]
    alone = [ask(plain, one)[0] for one in bodies]
    for _ in range(2):
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda one: ask(server, one), bodies))
        assert [answer for answer, _ in answers] == alone
    assert all(cached > 100 for _, cached in answers)


@pytest.mark.parametrize("flags", [(), ("--prefill-chunk", "7", "--spec-rows", "0", "--threads", "1")])
def test_a_pool_that_is_too_small(
    make_server: Callable[..., Server], crowd: tuple[list[dict], list[str]], flags: tuple[str, ...]
) -> None:
    bodies, alone = crowd
    small = make_server("--kv-tokens", "512", "--max-running", "12", *flags)
    with ThreadPoolExecutor(len(bodies)) as pool:
        assert [answer for answer, _ in pool.map(lambda one: ask(small, one), bodies)] == alone
    stats = small.stats()
    assert stats["preemptions"] > 0 and stats["prefix_evictions"] > 0 and stats["prefix_hit_tokens"] > 0
    small.wait_idle()
