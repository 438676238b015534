"""Every refusal: its status, the shape of its dialect, and a message that names the thing."""

from __future__ import annotations

import re
from typing import Any

import openai
import pytest
from kit import Server

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "Hi"}]
OTHER_TYPES = [
    ("max_tokens", "5", "integer"), ("max_tokens", 1.5, "integer"), ("max_tokens", 0, "between 1 and"),
    ("max_tokens", -1, "between 1 and"), ("temperature", "hot", "number"), ("temperature", -0.1, "between 0 and"),
    ("top_p", 0, "above 0"), ("top_p", 1.1, "at most 1"), ("top_k", 2.5, "integer"), ("seed", "x", "integer"),
    ("stream", "yes", "true or false"), ("stop", 5, "string"), ("stop", ["a", 1], "string"), ("stop", "", "stop"),
    ("stop", ["x"] * 17, "16"), ("min_p", 2, "between 0 and 1"), ("repetition_penalty", 0, "above 0"),
    ("logit_bias", [1], "object"), ("logit_bias", {"x": 1}, "token id"), ("logit_bias", {"999999999": 1}, "token id"),
    ("priority", 11, "between -10 and 10"), ("priority", "high", "integer"), ("logit_bias", {"1": 200}, "-100"), ("timeout_ms", 0, "between 1 and"), ("presence_penalty", 3, "between -2 and 2"),
]


def native_error(server: Server, path: str, body: Any, status: int) -> str:
    reply = server.post(path, body)
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["success"] is False and set(reply.json) == {"success", "error"}
    return reply.json["error"]


def openai_error(server: Server, path: str, body: Any, status: int) -> dict[str, Any]:
    reply = server.post(path, body)
    assert reply.status == status, reply.body
    error = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] is None or isinstance(error["code"], str)
    return error


@pytest.mark.parametrize(("field", "value", "words"), OTHER_TYPES)
def test_wrong_fields(server: Server, field: str, value: Any, words: str) -> None:
    message = native_error(server, "/generate", {"prompt": "x", field: value}, 400)
    assert field in message and words in message
    error = openai_error(server, CHAT, {"messages": USER, field: value}, 400)
    assert error["type"] == "invalid_request_error" and error["param"] == field
    assert field in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"prompt":"\xff"}', b'{"prompt":"a","prompt":"b"}',
                                  b'{"prompt":"a"} x', b"[" * 5000, b'{"a":' * 300 + b"1" + b"}" * 300,
                                  b'{"prompt":"\\ud800"}', b'{"prompt":1e999}', b"\x00"])
def test_bad_json(server: Server, body: bytes) -> None:
    native_error(server, "/generate", body, 400)
    native_error(server, "/encode", body, 400)
    openai_error(server, "/v1/completions", body, 400)
    openai_error(server, CHAT, body, 400)


@pytest.mark.parametrize("body", [{}, {"prompt": None}, {"prompt": 5}, {"prompt": ""}, {"prompt": ["x"]}])
def test_bad_prompts(server: Server, body: Any) -> None:
    assert "prompt" in native_error(server, "/generate", body, 400)


@pytest.mark.parametrize("prompt", [None, "", [], [""], ["a", ""], [[1], []], ["a", 7], [-1], [10**9],
                                    [1, "a"], ["a"] * 1000, {"a": 1}, 7])
def test_bad_completion_prompts(server: Server, prompt: Any) -> None:
    assert openai_error(server, "/v1/completions", {"prompt": prompt}, 400)["param"] == "prompt"


@pytest.mark.parametrize("messages", [
    None, [], "hi", ["hi"], [{}], [{"role": "user"}], [{"role": "wizard", "content": "x"}],
    [{"role": "user", "content": None}], [{"role": "user", "content": 5}], [{"role": 1, "content": "x"}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    [{"role": "user", "content": [{"type": "text"}]}], [{"role": "user", "content": ["x"]}],
    [{"role": "assistant", "content": None}],
])
def test_bad_messages(server: Server, messages: Any) -> None:
    assert openai_error(server, CHAT, {"messages": messages}, 400)["param"].startswith("messages")


OPENAI_TYPES = [
    (CHAT, "logprobs", 1, "true or false"), (CHAT, "top_logprobs", 21, "between 0 and 20"),
    (CHAT, "reasoning_effort", 3, "string"), (CHAT, "enable_thinking", "yes", "true or false"),
    (CHAT, "chat_template_kwargs", [], "object"), (CHAT, "max_tokens", 0, "between 1 and"),
    ("/v1/completions", "logprobs", True, "integer"), ("/v1/completions", "logprobs", 21, "between 0 and 20"),
    ("/v1/completions", "echo", "x", "true or false"), ("/v1/completions", "max_tokens", -1, "between 0 and"),
    (CHAT, "stream_options", 1, "object"),
]


@pytest.mark.parametrize(("path", "field", "value", "words"), OPENAI_TYPES)
def test_wrong_openai_fields(server: Server, path: str, field: str, value: Any, words: str) -> None:
    error = openai_error(server, path, {"messages": USER, "prompt": "x", field: value}, 400)
    assert error["param"] == field and words in error["message"]


UNSUPPORTED = [
    (CHAT, "top_logprobs", 3), (CHAT, "tool_choice", "required"), (CHAT, "modalities", ["audio"]),
    ("/v1/completions", "best_of", 2), ("/v1/completions", "suffix", "x"), ("/v1/completions", "prompt_logprobs", 1),
]


@pytest.mark.parametrize(("path", "field", "value"), UNSUPPORTED)
def test_unsupported_is_refused(server: Server, path: str, field: str, value: Any) -> None:
    error = openai_error(server, path, {"messages": USER, "prompt": "x", field: value}, 400)
    assert error["param"] == field and error["type"] == "invalid_request_error"


def test_context_length(server: Server) -> None:
    limit = server.get("/model/info").data["max_sequence_length"]
    message = native_error(server, "/generate", {"prompt": "x", "max_tokens": limit}, 400)
    assert str(limit) in message and str(limit + 1) in message
    error = openai_error(server, CHAT, {"messages": USER, "max_tokens": limit}, 400)
    assert error["code"] == "context_length_exceeded" and str(limit) in error["message"]
    long = "word " * (limit + 10)
    assert str(limit) in native_error(server, "/generate", {"prompt": long}, 400)
    assert openai_error(server, "/v1/completions", {"prompt": long}, 400)["code"] == "context_length_exceeded"


def test_too_many_choices(server: Server) -> None:
    for path in (CHAT, "/v1/completions"):
        for n in (0, 129):
            assert "between 1 and 128" in openai_error(server, path, {"messages": USER, "prompt": "x", "n": n}, 400)["message"]
    error = openai_error(server, "/v1/completions", {"prompt": ["x"] * 20, "n": 100}, 400)
    assert error["param"] == "n" and "2000 answers" in error["message"]


def test_texts_that_cannot_fit(server: Server) -> None:
    """Refused by their bytes alone, while others are served."""
    limit = server.get("/model/info").data["max_sequence_length"]
    long = "word " * 1_500_000
    for path in ("/generate", "/v1/completions"):
        reply = server.post(path, {"prompt": long})
        assert reply.status == 400 and str(len(long)) in reply.body.decode() and str(limit) in reply.body.decode()
    for messages in ([{"role": "user", "content": long}], [{"role": "user", "content": ""}] * (limit + 1)):
        error = openai_error(server, CHAT, {"messages": messages}, 400)
        assert error["code"] == "context_length_exceeded" and error["param"] == "messages"
        assert str(limit) in error["message"] and re.match(r"(messages: )?\d+ ", error["message"])


def test_deadline(server: Server) -> None:
    fields = {"max_tokens": 2000, "timeout_ms": 60, "ignore_eos": True}
    assert "deadline" in native_error(server, "/generate", {"prompt": "x", **fields}, 408)
    assert openai_error(server, CHAT, {"messages": USER, **fields}, 408)["type"] == "timeout"
    server.wait_idle()


def test_deadline_inside_a_stream(server: Server) -> None:
    fields = {"max_tokens": 2000, "timeout_ms": 300, "ignore_eos": True}
    native = list(server.events("/generate_stream", {"prompt": "x", **fields}))
    assert '"error"' in native[-1] and '"done":true' in native[-1]
    chunks = list(server.events(CHAT, {"messages": USER, "stream": True, **fields}))
    assert '"error":{' in chunks[-1] and "[DONE]" not in chunks
    server.wait_idle()


def test_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "model_not_found" and caught.value.type == "not_found_error"


def test_bad_benchmarks(server: Server) -> None:
    for fields in ({"requests": 0}, {"concurrency": 0}, {"requests": "x"}, {"prompt": ""}, {"prompt": []}, {"prompt": ["x", ""]},
                   {"prompt": ["x"] * 1025}, {"prompt": ["x", 1]}):
        assert next(iter(fields)) in native_error(server, "/benchmark", fields, 400)


def test_a_refused_benchmark_ends_at_once(server: Server) -> None:
    limit = server.get("/model/info").data["max_sequence_length"]
    assert str(limit) in native_error(server, "/benchmark", {"requests": 100000, "max_tokens": limit}, 400)
    server.wait_log("benchmark_end requests=0 failed=0 ")  # none was tried again
