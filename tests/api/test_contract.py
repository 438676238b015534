"""What clients rely on without saying so: the bytes of a stream, nulls, both names of a limit, keys that nobody wants."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from kit import PATIENCE_S, Server

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
FIELDS: dict[str, Any] = {"prompt": "Hello", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}


def answer(server: Server, path: str, **fields: Any) -> Any:
    reply = server.post(path, {**FIELDS, **fields})
    assert reply.status == 200, reply.body
    return reply.json


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_framing(server: Server, path: str) -> None:
    body = server.post(path, {**FIELDS, "max_tokens": 3, "stream": True}).body
    *events, rest = body.decode("utf-8").split("\n\n")
    assert rest == "" and events[-1] == "data: [DONE]"
    for event in events[:-1]:
        assert event.startswith("data: {") and "\n" not in event and json.loads(event[6:])["choices"]


def test_last_chunk(server: Server) -> None:
    lines = list(server.events(CHAT, {**FIELDS, "max_tokens": 3, "stream": True}))
    choice = json.loads(lines[-2])["choices"][0]
    assert choice["delta"] == {} and choice["finish_reason"] in ("stop", "length")


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_null_is_the_default(make_server: Any, path: str) -> None:
    server = make_server("--default-max-tokens", "5")
    names = ("max_tokens", "seed", "stop", "n", "top_p", "stream", "stream_options", "logit_bias", "presence_penalty", "user")
    nulls = answer(server, path, **dict.fromkeys(names))
    plain = answer(server, path)
    assert nulls["choices"] == plain["choices"] and nulls["usage"]["completion_tokens"] <= 5


def test_both_limits(server: Server) -> None:
    for fields in ({"max_tokens": 4, "max_completion_tokens": 4}, {"max_tokens": None, "max_completion_tokens": 4}):
        assert answer(server, CHAT, ignore_eos=True, **fields)["usage"]["completion_tokens"] == 4


def test_sixteen_stops(server: Server) -> None:
    text = answer(server, COMPLETIONS, max_tokens=12)["choices"][0]["text"]
    stops = [f"\u2603{n}" for n in range(15)] + [text[4:7]]
    choice = answer(server, COMPLETIONS, max_tokens=12, stop=stops)["choices"][0]
    assert choice["text"] == text[: text.index(stops[-1])] and choice["finish_reason"] == "stop"


def test_a_key_that_nobody_wants(server: Server) -> None:
    for headers in ({"Authorization": "Bearer sk-any"}, {"Authorization": "Basic eDp5"}, {"x-api-key": "any"}):
        assert server.request("POST", "/encode", {"text": "Hi"}, headers).status == 200


def test_idle(make_server: Any) -> None:
    """A server that has had nothing to do for a while does nothing."""
    server = make_server("--kv-ready-mb", "0")
    server.generate("Hello", max_tokens=2)
    server.wait_idle()
    end = time.monotonic() + PATIENCE_S
    busy_s = 1.0  # compute threads spin a little before they sleep
    while busy_s >= 0.1:
        assert time.monotonic() < end, f"{busy_s} s of CPU time in a second"
        _, before = server.cpu_s()
        time.sleep(1)
        busy_s = server.cpu_s()[1] - before
