"""Several answers to one request: n, and several prompts in one completions call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import openai
import pytest
from kit import Server

USER: list[Any] = [{"role": "user", "content": "Name a colour."}]
SAMPLED = {"max_tokens": 8, "temperature": 1.5, "seed": 7}
PROMPTS = ["The sky is", "Once upon a time", "1, 2, 3,"]


@pytest.fixture
def model(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def by_index(chunks: Iterable[Any], text: Callable[[Any], str | None]) -> list[str]:
    texts: dict[int, str] = defaultdict(str)
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += text(choice) or ""
    return [texts[i] for i in sorted(texts)]


def test_n(client: openai.OpenAI, model: str) -> None:
    """Distinct, reproducible, and the first is what n = 1 gives."""
    fields: dict[str, Any] = {"model": model, "messages": USER, **SAMPLED}
    one = client.chat.completions.create(**fields)
    four = client.chat.completions.create(n=4, **fields)
    texts = [choice.message.content for choice in four.choices]
    assert [choice.index for choice in four.choices] == [0, 1, 2, 3]
    assert texts[0] == one.choices[0].message.content and len(set(texts)) == 4
    assert [c.message.content for c in client.chat.completions.create(n=2, **fields).choices] == texts[:2]
    assert one.usage and four.usage and four.usage.prompt_tokens == one.usage.prompt_tokens
    assert four.usage.completion_tokens > one.usage.completion_tokens
    chunks = list(client.chat.completions.create(n=4, stream=True, stream_options={"include_usage": True}, **fields))
    assert by_index(chunks, lambda c: c.delta.content) == texts
    assert sum(c.delta.role == "assistant" for chunk in chunks for c in chunk.choices) == 4
    finishes = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert len(finishes) == 4 and chunks[-1].usage and chunks[-1].usage.total_tokens == four.usage.total_tokens


def test_n_greedy(client: openai.OpenAI, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=USER, max_tokens=6, temperature=0, n=3)
    assert len({choice.message.content for choice in reply.choices}) == 1


def test_several_prompts(client: openai.OpenAI, model: str, server: Server) -> None:
    fields: dict[str, Any] = {"model": model, **SAMPLED}
    alone = [client.completions.create(prompt=prompt, **fields) for prompt in PROMPTS]
    together = client.completions.create(prompt=PROMPTS, **fields)
    assert [c.text for c in together.choices] == [reply.choices[0].text for reply in alone]
    assert together.usage and together.usage.prompt_tokens == sum(r.usage.prompt_tokens for r in alone if r.usage)
    tokens = [server.post("/encode", {"text": prompt}).data["tokens"] for prompt in PROMPTS]
    assert client.completions.create(prompt=tokens, **fields).choices == together.choices
    chunks = client.completions.create(prompt=PROMPTS, stream=True, **fields)
    assert by_index(chunks, lambda c: c.text) == [c.text for c in together.choices]


def test_n_of_each_prompt(client: openai.OpenAI, model: str) -> None:
    fields: dict[str, Any] = {"model": model, **SAMPLED}
    pairs = client.completions.create(prompt=PROMPTS, n=2, **fields)
    assert [c.index for c in pairs.choices] == list(range(6))
    for i, prompt in enumerate(PROMPTS):
        own = client.completions.create(prompt=prompt, n=2, **fields)
        assert [c.text for c in own.choices] == [c.text for c in pairs.choices[2 * i : 2 * i + 2]]


def test_one_failure_is_the_answer(server: Server) -> None:
    body = {"prompt": ["x", "word " * 20], "max_tokens": 2000, "ignore_eos": True, "timeout_ms": 100}
    assert server.post("/v1/completions", body).status == 408
    chunks = list(server.events("/v1/completions", {**body, "n": 2, "stream": True, "timeout_ms": 400}))
    assert '"error":{' in chunks[-1] and sum('"error":{' in chunk for chunk in chunks) == 1
    long = server.get("/model/info").data["max_sequence_length"] * [1]
    assert server.post("/v1/completions", {**body, "prompt": [[1], long]}).status == 400


def test_all_or_none(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-running", "1", "--max-queue", "3")
    assert "takes 4" in server.post("/v1/completions", {"prompt": "x", "n": 5}).json["error"]["message"]
    body = {"prompt": "x", "max_tokens": 1000, "ignore_eos": True}
    first = server.open("POST", "/v1/completions", {**body, "n": 2, "stream": True})
    server.wait_stats(running=1, waiting=1)
    assert server.post("/v1/completions", {**body, "n": 3}).status == 429
    assert server.stats()["live"] == 2
    first.close()
    server.wait_idle()
    assert len(server.post("/v1/completions", {"prompt": "x", "max_tokens": 1, "n": 4}).json["choices"]) == 4
