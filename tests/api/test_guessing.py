"""Guessing ahead changes how many steps a text takes, and not one byte of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from kit import Server

PARAGRAPH = (
    "The lighthouse at Cape Morran was built in 1871 by two brothers who had never seen the sea before. They carried"
    " the stones up from the quarry on a cart drawn by a blind horse, and they slept in a tent made of old sails."
)
SAMPLINGS = [
    {"temperature": 0},
    {"temperature": 0.7, "seed": 5},
    {"temperature": 1.3, "seed": 6, "top_p": 0.9, "presence_penalty": 0.4},
    {"temperature": 0.6, "seed": 7, "repetition_penalty": 1.2, "min_p": 0.02},
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that does not guess."""
    server = Server(tmp_path_factory.mktemp("plain") / "log", "--spec-rows", "0")
    try:
        yield server.wait_ready()
    finally:
        server.close()


def bodies() -> list[dict]:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"Repeat the following paragraph exactly, word for word:\n\n{PARAGRAPH}"},
    ]
    out = [{"messages": messages, "max_tokens": 40 + 7 * i, **s} for i, s in enumerate(SAMPLINGS)]
    return [*out, {"messages": messages, "max_tokens": 60, "temperature": 0, "stop": "1871 by"}]


def ask(server: Server, body: dict) -> tuple[str, str, dict]:
    reply = server.post("/v1/chat/completions", body)
    assert reply.status == 200, reply.body
    choice = reply.json["choices"][0]
    usage = reply.json["usage"]
    del usage["prompt_tokens_details"]  # what was found depends on what was asked before
    return choice["message"]["content"], choice["finish_reason"], usage


def test_the_same_bytes_in_fewer_steps(plain: Server, server: Server) -> None:
    def run(one: Server) -> tuple[list, dict[str, int]]:
        before = one.stats()
        answers = [ask(one, body) for body in bodies()[:4]]
        after = one.stats()
        return answers, {name: after[name] - before[name] for name in ("steps", "drafted_tokens", "accepted_tokens")}

    answers, counts = run(server)
    plain_answers, plain_counts = run(plain)
    assert answers == plain_answers
    assert plain_counts["drafted_tokens"] == plain_counts["accepted_tokens"] == 0
    # How many depends on what a row costs here; the first guesses are made anywhere.
    assert 0 < counts["accepted_tokens"] <= counts["drafted_tokens"]
    assert counts["steps"] == plain_counts["steps"] - counts["accepted_tokens"]


def test_a_stop_string(plain: Server, server: Server) -> None:
    body = bodies()[-1]
    answer = ask(server, body)
    assert answer == ask(plain, body) and answer[1] == "stop"


def test_two_or_many_at_once(plain: Server, server: Server) -> None:
    alone = [ask(plain, body) for body in bodies()]
    for n in (2, 5):
        with ThreadPoolExecutor(n) as pool:
            assert list(pool.map(lambda body: ask(server, body), bodies())) == alone


def test_a_stream_is_the_same(plain: Server, server: Server) -> None:
    body = bodies()[1]
    events = [json.loads(e) for e in server.events("/v1/chat/completions", {**body, "stream": True}) if e != "[DONE]"]
    assert "".join(e["choices"][0]["delta"].get("content", "") for e in events) == ask(plain, body)[0] != ""


@pytest.mark.parametrize("flags", [("--row-budget", "2", "--max-running", "1"), ("--spec-rows", "64")])
def test_limits(make_server: Callable[..., Server], plain: Server, flags: tuple[str, ...]) -> None:
    server = make_server(*flags)
    for body in bodies()[:2]:
        assert ask(server, body) == ask(plain, body)
    assert server.stats()["accepted_tokens"] > 0
