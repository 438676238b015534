"""Log-probabilities: of what is generated and of prompts, whole and streamed, and the same in any company."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest
from kit import Server

USER: list[Any] = [{"role": "user", "content": "Name a colour."}]
TEXT = "The quick brown fox jumps over the lazy dog. \u4f60\u597d, \U0001f996!"


@pytest.fixture
def model(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def scored(server: Server, **fields: Any) -> dict[str, Any]:
    """The first choice of a completion with its prompt's log-probabilities."""
    body = {"prompt": TEXT, "max_tokens": 0, "echo": True, "logprobs": 1, **fields}
    reply = server.post("/v1/completions", body)
    assert reply.status == 200, reply.body
    return reply.json["choices"][0]


def test_chat(client: openai.OpenAI, model: str) -> None:
    fields: dict[str, Any] = {"model": model, "messages": USER, "max_tokens": 8, "temperature": 0, "logprobs": True}
    reply = client.chat.completions.create(top_logprobs=3, **fields)
    choice = reply.choices[0]
    assert choice.logprobs and choice.logprobs.content and reply.usage
    entries = choice.logprobs.content
    assert len(entries) in (reply.usage.completion_tokens, reply.usage.completion_tokens + 1)
    assert b"".join(bytes(e.bytes or []) for e in entries).decode() == choice.message.content
    for entry in entries:
        tops = [t.logprob for t in entry.top_logprobs]
        assert len(tops) == 3 and tops == sorted(tops, reverse=True) and sum(map(math.exp, tops)) <= 1.0001
        assert entry.logprob == tops[0] and entry.token == entry.top_logprobs[0].token  # greedy
    bare = client.chat.completions.create(**fields).choices[0].logprobs
    assert bare and bare.content and [e.logprob for e in bare.content] == [e.logprob for e in entries]
    assert all(e.top_logprobs == [] for e in bare.content)
    chunks = list(client.chat.completions.create(top_logprobs=3, stream=True, **fields))
    streamed = [e for c in chunks for p in c.choices if p.logprobs for e in p.logprobs.content or []]
    assert streamed == entries


def test_they_are_the_models_own(server: Server) -> None:
    """Temperature, penalties and biases change what is chosen, not what the model says of it."""
    body = {"messages": USER, "max_tokens": 1, "logprobs": True, "top_logprobs": 5}
    plain = server.post("/v1/chat/completions", {**body, "temperature": 0}).json["choices"][0]["logprobs"]["content"][0]
    other = plain["top_logprobs"][4]["token"]
    ids = server.post("/encode", {"text": other, "parse_special": True}).data["tokens"]
    bent = {**body, "temperature": 1.9, "logit_bias": {str(ids[0]): 100}, "presence_penalty": 2, "seed": 3}
    forced = server.post("/v1/chat/completions", bent).json["choices"][0]["logprobs"]["content"][0]
    assert forced["token"] == other and forced["logprob"] == plain["top_logprobs"][4]["logprob"]
    assert forced["top_logprobs"] == plain["top_logprobs"]


def test_completions(client: openai.OpenAI, model: str) -> None:
    fields: dict[str, Any] = {"model": model, "prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}
    choice = client.completions.create(logprobs=2, **fields).choices[0]
    found = choice.logprobs
    assert found and found.tokens and found.token_logprobs and found.top_logprobs and found.text_offset
    assert "".join(found.tokens) == choice.text and found.text_offset[0] == 0
    assert [choice.text[i : i + len(t)] for i, t in zip(found.text_offset, found.tokens, strict=True)] == found.tokens
    assert all(max(top.values()) == p for top, p in zip(found.top_logprobs, found.token_logprobs, strict=True))
    zero = client.completions.create(logprobs=0, **fields).choices[0].logprobs
    assert zero and zero.token_logprobs == found.token_logprobs and all(len(t) == 1 for t in zero.top_logprobs or [])
    streamed: list[str] = []
    for chunk in client.completions.create(logprobs=2, stream=True, **fields):
        streamed += chunk.choices[0].logprobs.tokens if chunk.choices[0].logprobs else []
    assert streamed == found.tokens
    assert client.completions.create(**fields).choices[0].logprobs is None


def test_stop_strings_cut_them_too(server: Server) -> None:
    body = {"prompt": "1, 2, 3,", "max_tokens": 20, "temperature": 0, "logprobs": 0}
    text = server.post("/v1/completions", body).json["choices"][0]["text"]
    cut = server.post("/v1/completions", {**body, "stop": text[8:11]}).json["choices"][0]
    assert "".join(cut["logprobs"]["tokens"]) == cut["text"] == text[: text.index(text[8:11])]


def test_echo(server: Server) -> None:
    plain = server.post("/v1/completions", {"prompt": TEXT, "max_tokens": 5, "temperature": 0}).json["choices"][0]["text"]
    both = scored(server, max_tokens=5, temperature=0, logprobs=None)
    assert both["text"] == TEXT + plain and both["logprobs"] is None and both["finish_reason"] == "length"
    only = scored(server)
    assert only["text"] == TEXT and only["finish_reason"] == "length"
    tokens = server.post("/encode", {"text": TEXT}).data["tokens"]
    assert scored(server, prompt=tokens) == only
    for n in (0, 3):
        body = {"prompt": TEXT, "echo": True, "logprobs": 1, "max_tokens": n, "temperature": 0, "stream": True}
        lines = [line for line in server.events("/v1/completions", body) if line != "[DONE]"]
        assert "[DONE]" not in lines and lines[0].count('"text_offset"') == 1


def test_prompt_logprobs(server: Server) -> None:
    """Each token's is what generation says of it behind the tokens before it."""
    choice = scored(server, max_tokens=1, temperature=0)
    found = choice["logprobs"]
    tokens = server.post("/encode", {"text": TEXT}).data["tokens"]
    n = len(tokens)
    assert {len(found[key]) for key in found} == {n + 1}
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    assert all(p <= 0 for p in found["token_logprobs"][1:])
    assert found["text_offset"] == sorted(found["text_offset"]) and found["text_offset"][n] == len(TEXT)
    whole = "".join(t for t in found["tokens"][:n] if not t.startswith("bytes:"))
    assert set(whole) <= set(TEXT) and any(t.startswith("bytes:\\x") for t in found["tokens"])
    for i in (1, 7, n - 1):
        body = {"prompt": tokens[:i], "max_tokens": 1, "logprobs": 0, "logit_bias": {str(tokens[i]): 100}}
        forced = server.post("/v1/completions", body).json["choices"][0]["logprobs"]
        assert forced["token_logprobs"] == [found["token_logprobs"][i]]


def test_the_same_in_any_company(server: Server) -> None:
    """Cached or not, in chunks or not, beside others or alone, one prompt of several or not."""
    long = TEXT * 30  # its answer is written beside the loop
    alone = scored(server, prompt=long)
    server.generate(long, max_tokens=1)
    results: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: results.append(scored(server, prompt=long))) for _ in range(3)]
    threads.append(threading.Thread(target=lambda: server.generate(long + "!", max_tokens=30)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [alone] * 3
    reply = server.post("/v1/completions", {"prompt": [TEXT, long], "max_tokens": 0, "echo": True, "logprobs": 1})
    assert reply.json["choices"][1] == {**alone, "index": 1} and reply.json["choices"][0] == scored(server)


def test_nothing_to_generate(server: Server) -> None:
    reply = server.post("/v1/completions", {"prompt": "x y z", "max_tokens": 0}).json
    assert reply["choices"][0]["text"] == "" and reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 0 and reply["usage"]["prompt_tokens"] > 1


def test_min_tokens_and_stop_tokens(server: Server) -> None:
    body = {"prompt": "The sky is", "temperature": 0, "max_tokens": 30}
    tokens = server.post("/v1/completions", {**body, "logprobs": 0, "ignore_eos": True}).json["choices"][0]
    second = server.post("/encode", {"text": tokens["logprobs"]["tokens"][1]}).data["tokens"]
    stopped = server.post("/v1/completions", {**body, "stop_token_ids": second}).json
    assert stopped["choices"][0]["finish_reason"] == "stop" and stopped["usage"]["completion_tokens"] == 1
    later = server.post("/v1/completions", {**body, "stop_token_ids": second, "min_tokens": 5}).json
    assert later["usage"]["completion_tokens"] >= 5
    assert "between 0 and 30" in server.post("/v1/completions", {**body, "min_tokens": 31}).json["error"]["message"]
    text = tokens["text"]
    early = server.post("/v1/completions", {**body, "stop": text[:2], "min_tokens": 3}).json["choices"][0]["text"]
    assert early.startswith(text[:2])


def test_a_queue_is_no_obstacle(make_server: Callable[..., Server]) -> None:
    """Fewer rows of logits in a step than a prompt has, and a pool that holds one request."""
    server = make_server("--max-running", "2", "--spec-rows", "0", "--kv-tokens", "512")
    prompts = [TEXT * 3] * 2 + ["word " * 60] * 2
    reply = server.post("/v1/completions", {"prompt": prompts, "max_tokens": 2, "temperature": 0, "echo": True, "logprobs": 1})
    assert reply.status == 200, reply.body
    first, second, third, fourth = ({**c, "index": 0} for c in reply.json["choices"])
    assert first == second and third == fourth
    server.wait_idle()
