"""/v1/embeddings through the official client, compared with what `cllm eval` pools of the same tokens."""

from __future__ import annotations

import concurrent.futures
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openai
import pytest
from kit import CLLM, MODEL, SLOW, Server

TEXTS = ["The sky is blue.", "Der Himmel ist blau.", "x = [i**2 for i in range(10)]", "a" * 3000]


@pytest.fixture
def model(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def embed(client: openai.OpenAI, model: str, texts: object, **more: object) -> np.ndarray:
    reply = client.embeddings.create(model=model, input=texts, **more)
    assert [d.index for d in reply.data] == list(range(len(reply.data)))
    return np.array([d.embedding for d in reply.data])


def test_same_as_the_model_alone(client: openai.OpenAI, model: str, server: Server, tmp_path: Path) -> None:
    for text in TEXTS:
        tokens = server.post("/encode", {"text": text}).data["tokens"]
        out = tmp_path / "pooled"
        command = [CLLM, "eval", "--model", MODEL, "--tokens", ",".join(map(str, tokens)), "--embedding", out]
        subprocess.run(command, check=True, capture_output=True)
        want = np.fromfile(out, dtype="<f8")
        got = embed(client, model, text, encoding_format="float")[0]
        assert np.allclose(got, want / np.linalg.norm(want), atol=1e-7, rtol=0)
        assert np.allclose(np.linalg.norm(got), 1, atol=1e-6)


def test_forms(client: openai.OpenAI, model: str, server: Server) -> None:
    each = np.concatenate([embed(client, model, text, encoding_format="float") for text in TEXTS])
    tokens = [server.post("/encode", {"text": text}).data["tokens"] for text in TEXTS]
    assert np.array_equal(embed(client, model, TEXTS, encoding_format="float"), each)
    assert np.array_equal(embed(client, model, tokens, encoding_format="float"), each)
    assert np.array_equal(embed(client, model, tokens[0], encoding_format="float")[0], each[0])
    packed = embed(client, model, TEXTS)  # the client asks for base64 by itself
    assert np.array_equal(packed.astype(np.float32), each.astype(np.float32))
    reply = client.embeddings.create(model=model, input=TEXTS, dimensions=each.shape[1])
    assert reply.object == "list" and reply.model == model
    assert reply.usage.prompt_tokens == reply.usage.total_tokens == sum(map(len, tokens))


def test_more_inputs_than_the_queue_holds(client: openai.OpenAI, model: str) -> None:
    texts = [f"number {i}" for i in range(700)]
    assert client.with_options(timeout=120 * SLOW).embeddings.create(model=model, input=texts).data[-1].index == 699


def test_more_tokens_than_the_queue_takes(make_server: Callable[..., Server], model: str) -> None:
    """The inputs wait for each other, and not for a client that asks again."""
    server = make_server("--max-queue-tokens", "50")
    texts = [f"{i} " + "word " * i for i in range(30)]
    reply = server.post("/v1/embeddings", {"model": model, "input": texts})
    assert reply.status == 200, reply.body
    assert [one["index"] for one in reply.json["data"]] == list(range(30))
    server.wait_idle()


def test_same_bytes_under_load(client: openai.OpenAI, model: str, server: Server) -> None:
    alone = [embed(client, model, text) for text in TEXTS]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        talk = [pool.submit(server.generate, f"Tell me {i}", max_tokens=20) for i in range(8)]
        many = list(pool.map(lambda text: embed(client, model, text), TEXTS * 4))
        assert all(t.result() for t in talk)
    assert all(np.array_equal(got, alone[i % len(TEXTS)]) for i, got in enumerate(many))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 3]}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [1, 1 << 30]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": 7}, "dimensions"),
        ({"input": "a", "timeout_ms": -1}, "timeout_ms"),
    ],
)
def test_refused(server: Server, fields: dict[str, object], param: str) -> None:
    reply = server.post("/v1/embeddings", fields)
    assert reply.status == 400 and reply.json["error"]["param"] == param


def test_too_long_and_unknown_model(server: Server) -> None:
    reply = server.post("/v1/embeddings", {"input": "word " * 20000})
    assert reply.status == 400 and reply.json["error"]["code"] == "context_length_exceeded"
    reply = server.post("/v1/embeddings", {"input": "a", "model": "other"})
    assert reply.status == 404 and reply.json["error"]["code"] == "model_not_found"
