"""Ollama's API through its official client."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import ollama
import pytest
from kit import Server

SAY = [{"role": "user", "content": "Name three colours."}]
GREEDY = {"temperature": 0, "repeat_penalty": 1, "num_predict": 12}


@pytest.fixture
def lama(server: Server) -> ollama.Client:
    return ollama.Client(host=server.url)


@pytest.fixture
def model(lama: ollama.Client) -> str:
    return lama.list().models[0].model


def chat(server: Server, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    body = {"messages": messages, "max_tokens": 12, "temperature": 0, **more}
    reply = server.post("/v1/chat/completions", body)
    assert reply.status == 200, reply.body
    return reply.json


def test_chat(lama: ollama.Client, model: str, server: Server) -> None:
    reply = lama.chat(model, SAY, options=GREEDY)
    want = chat(server, SAY)
    assert reply.message.role == "assistant" and reply.message.content == want["choices"][0]["message"]["content"]
    assert reply.done and reply.done_reason == want["choices"][0]["finish_reason"]
    assert reply.prompt_eval_count == want["usage"]["prompt_tokens"]
    assert reply.eval_count == want["usage"]["completion_tokens"]
    assert reply.total_duration == reply.prompt_eval_duration + reply.eval_duration
    made = datetime.datetime.fromisoformat(reply.created_at)
    assert abs((datetime.datetime.now(datetime.UTC) - made).total_seconds()) < 60


def test_chat_stream(lama: ollama.Client, model: str) -> None:
    whole = lama.chat(model, SAY, options=GREEDY)
    parts = list(lama.chat(model + ":latest", SAY, options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].done_reason == whole.done_reason and parts[-1].eval_count == whole.eval_count


def test_streams_unless_told_otherwise(server: Server, model: str) -> None:
    reply = server.post("/api/chat", {"model": model, "messages": SAY, "options": GREEDY})
    assert reply.headers["content-type"] == "application/x-ndjson" and reply.body.count(b"\n") > 3


def test_generate(lama: ollama.Client, model: str, server: Server) -> None:
    reply = lama.generate(model, "Name three colours.", options=GREEDY)
    assert reply.response == chat(server, SAY)["choices"][0]["message"]["content"]
    parts = list(lama.generate(model, "Name three colours.", options=GREEDY, stream=True))
    assert "".join(part.response for part in parts) == reply.response and parts[-1].done
    system = [{"role": "system", "content": "Be brief."}, *SAY]
    reply = lama.generate(model, "Name three colours.", system="Be brief.", options=GREEDY)
    assert reply.response == chat(server, system)["choices"][0]["message"]["content"]
    raw = lama.generate(model, "The sky is", raw=True, options=GREEDY)
    body = {"prompt": "The sky is", "max_tokens": 12, "temperature": 0}
    assert raw.response == server.post("/v1/completions", body).json["choices"][0]["text"]


def test_options_are_read(lama: ollama.Client, model: str, server: Server) -> None:
    assert lama.chat(model, SAY, options={**GREEDY, "num_predict": 3}).eval_count == 3
    for endless in (0, -1, -2.0):
        body = {"messages": SAY, "options": {**GREEDY, "num_predict": endless, "stop": [" "]}, "stream": False}
        assert server.post("/api/chat", body).json["done_reason"] == "stop"
    whole = lama.chat(model, SAY, options=GREEDY).message.content
    assert lama.chat(model, SAY, options={**GREEDY, "stop": [whole[4:6]]}).message.content == whole.split(whole[4:6])[0]
    hot = {"temperature": 1.5, "num_predict": 12}
    same = {lama.chat(model, SAY, options={**hot, "seed": 7}).message.content for _ in range(2)}
    others = {lama.chat(model, SAY, options={**hot, "seed": seed}).message.content for seed in range(8, 12)}
    assert len(same) == 1 and len(same | others) > 1
    anyhow = {lama.chat(model, SAY, options={**hot, "seed": -1}).message.content for _ in range(4)}
    assert len(anyhow) > 1


def test_what_may_be_left_out(server: Server) -> None:
    """null, and a field that is not there, are what the Go types of the original make of them."""
    turns = [*SAY, {"role": "assistant"}, {"role": "user", "content": "More!", "images": None}]
    body = {"messages": turns, "stream": None, "tools": None, "format": None, "options": None, "think": None}
    reply = server.post("/api/chat", {**body, "options": {**GREEDY, "stop": None}})
    assert reply.status == 200 and reply.headers["content-type"] == "application/x-ndjson", reply.body
    assert server.post("/api/chat", {"messages": SAY, "format": {"const": 1}, "options": None, "stream": False}).status == 200
    defaults = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "repeat_penalty": 1.1}
    said = set()
    for given in (defaults, dict.fromkeys(defaults)):
        options = {**given, "seed": 3, "num_predict": 12}
        said.add(server.post("/api/chat", {"messages": SAY, "stream": False, "options": options}).json["message"]["content"])
    assert len(said) == 1


def test_format(lama: ollama.Client, model: str) -> None:
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    options = {**GREEDY, "num_predict": 100}
    answer = lama.chat(model, SAY, format=schema, options=options).message.content
    assert json.loads(answer) in ({"colour": "red"}, {"colour": "blue"})
    assert lama.generate(model, "An object, please.", format="json", options=options).response.startswith("{")


def test_tools_in_history(lama: ollama.Client, model: str, server: Server) -> None:
    call = {"function": {"name": "get_weather", "arguments": {"city": "Rome"}}}
    turns = [
        {"role": "user", "content": "Weather in Rome?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "content": "Sunny.", "tool_name": "get_weather"},
    ]
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    function = {"name": "get_weather", "arguments": '{"city":"Rome"}'}
    same = [
        turns[0],
        {**turns[1], "tool_calls": [{"id": "call_0", "type": "function", "function": function}]},
        {"role": "tool", "content": "Sunny.", "tool_call_id": "call_0"},
    ]
    reply = lama.chat(model, turns, tools=[tool], options=GREEDY)
    assert reply.message.content == chat(server, same, tools=[tool])["choices"][0]["message"]["content"]


@pytest.mark.parametrize("named", [{"tool_call_id": "b"}, {"tool_name": "get_time"}, {"tool_call_id": "of a call that had none", "tool_name": "get_time"}])
def test_results_name_their_calls(server: Server, model: str, named: dict[str, str]) -> None:
    """The first of two calls has no result, and the next is not taken for it."""
    first = {"id": "a", "function": {"name": "get_weather", "arguments": {}}}
    second = {"id": "b", "function": {"name": "get_time", "arguments": {}}}
    asked = [{"role": "user", "content": "Rome?"}]
    turns = [*asked, {"role": "assistant", "content": "", "tool_calls": [first, second]}, {"role": "tool", "content": "Noon.", **named}]
    calls = [{"id": c["id"], "type": "function", "function": {**c["function"], "arguments": "{}"}} for c in (first, second)]
    same = [*asked, {"role": "assistant", "content": "", "tool_calls": calls}, {"role": "tool", "content": "Noon.", "tool_call_id": "b"}]
    reply = server.post("/api/chat", {"model": model, "messages": turns, "options": GREEDY, "stream": False})
    assert reply.json["message"]["content"] == chat(server, same)["choices"][0]["message"]["content"]


def test_models(lama: ollama.Client, model: str, server: Server) -> None:
    (one,) = lama.list().models
    assert one.details.format == "gguf" and one.details.family == "llama" and len(one.digest) == 64 and one.size
    (running,) = lama.ps().models
    assert running.model == model and running.digest == one.digest
    shown = lama.show(model)
    assert shown.modelinfo["general.architecture"] == "llama" and shown.modelinfo["llama.context_length"] > 0
    assert "completion" in shown.capabilities and "<|im_start|>" in shown.template
    assert server.get("/api/version").json["version"]


def test_the_command_names_the_model_in_its_older_word(server: Server, model: str) -> None:
    """`ollama show` and `ollama run` send every field, of which `model` is empty and `name` is not."""
    body = {"model": "", "system": "", "template": "", "verbose": False, "options": None, "name": model}
    reply = server.post("/api/show", body)
    assert reply.status == 200 and reply.json["model_info"]["general.architecture"] == "llama"
    assert server.post("/api/show", {"model": "", "name": "other"}).status == 404


def test_nothing_to_say_loads_the_model(lama: ollama.Client, model: str) -> None:
    assert lama.generate(model).done_reason == "load"
    assert lama.chat(model + ":latest", []).done_reason == "load"
    for call in (lambda: lama.generate("other"), lambda: lama.chat("other", [])):
        with pytest.raises(ollama.ResponseError) as caught:
            call()
        assert caught.value.status_code == 404


def test_errors(lama: ollama.Client, model: str, server: Server) -> None:
    for call in (lambda: lama.chat("other", SAY), lambda: lama.show("other"), lambda: lama.generate("other", "x")):
        with pytest.raises(ollama.ResponseError) as caught:
            call()
        assert caught.value.status_code == 404 and "other" in caught.value.error
    for body in (
        {"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"messages": SAY, "format": "xml"},
        {"messages": SAY, "think": 3},
        {"messages": SAY, "options": {"temperature": "hot"}},
        {"messages": SAY, "options": 3},
        {"messages": SAY, "options": {"num_predict": "3"}},
        {"messages": {"role": "user"}},
        {"messages": SAY, "stream": "yes"},
        {"messages": SAY, "tools": "clock"},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}]},
    ):
        reply = server.post("/api/chat", body)
        assert reply.status == 400 and set(reply.json) == {"error"}, reply.body
    for body in ({"prompt": ["x"]}, {"prompt": "x", "raw": "yes"}, {"prompt": "x", "options": []}, {"prompt": "x", "system": 3}):
        reply = server.post("/api/generate", body)
        assert reply.status == 400 and set(reply.json) == {"error"}, reply.body
    assert set(server.get("/api/chat").json) == {"error"}


def test_abort(lama: ollama.Client, model: str, server: Server) -> None:
    stream = lama.chat(model, SAY, options={"num_predict": 2000}, stream=True)
    next(iter(stream))
    stream.close()
    server.wait_idle()


def test_a_begun_answer_is_continued(lama: ollama.Client, model: str, server: Server) -> None:
    begun = [*SAY, {"role": "assistant", "content": "Sure! They are"}]
    same = chat(server, begun, continue_final_message=True)
    reply = lama.chat(model, begun, options=GREEDY)
    assert reply.message.content == same["choices"][0]["message"]["content"]
    assert reply.prompt_eval_count == same["usage"]["prompt_tokens"]


def test_embed(lama: ollama.Client, model: str, server: Server) -> None:
    texts = ["The sky is blue.", "Der Himmel ist blau."]
    same = server.post("/v1/embeddings", {"input": texts}).json
    want = [one["embedding"] for one in same["data"]]
    reply = lama.embed(model, texts)
    assert reply.embeddings == want and reply.model == model
    assert reply.prompt_eval_count == same["usage"]["prompt_tokens"] and reply.total_duration and reply.load_duration == 0
    assert lama.embed(model + ":latest", texts[0], options={"num_ctx": 99}, keep_alive="5m").embeddings == want[:1]
    assert lama.embeddings(model, texts[0]).embedding == want[0]


def test_embed_cuts_what_is_too_long(model: str, make_server: Callable[..., Server]) -> None:
    small = make_server("--kv-tokens", "128")
    lama = ollama.Client(host=small.url)
    context = lama.ps().models[0].context_length
    assert context and context < 200
    tokens = small.post("/tokenize", {"prompt": "word " * 300}).json["tokens"]
    want = small.post("/v1/embeddings", {"input": tokens[:context]}).json["data"][0]["embedding"]
    assert lama.embed(model, "word " * (context - 20)).embeddings != [want]
    for long in ("word " * 300, "word " * 100_000):
        reply = lama.embed(model, ["word", long])
        assert reply.embeddings[1] == want and reply.prompt_eval_count == context + 1
        assert lama.embeddings(model, long).embedding == want
        with pytest.raises(ollama.ResponseError) as caught:
            lama.embed(model, long, truncate=False)
        assert caught.value.status_code == 400 and "context" in caught.value.error


def test_embed_errors(lama: ollama.Client, model: str, server: Server) -> None:
    assert lama.embed(model, "").embeddings == lama.embed(model, []).embeddings == []
    assert lama.embeddings(model, "").embedding == []
    for call in (lambda: lama.embed("other", "x"), lambda: lama.embeddings("other", "x"), lambda: lama.embed("other", "")):
        with pytest.raises(ollama.ResponseError) as caught:
            call()
        assert caught.value.status_code == 404
    for path, body in (
        ("/api/embed", {"input": 3}), ("/api/embed", {"input": ["a", 3]}), ("/api/embed", {"input": "a", "truncate": 1}),
        ("/api/embed", {"input": "a", "dimensions": 3}), ("/api/embed", {"input": ["a", ""]}), ("/api/embeddings", {"prompt": ["a"]}),
    ):  # fmt: skip
        reply = server.post(path, body)
        assert reply.status == 400 and set(reply.json) == {"error"}, reply.body


def test_logprobs(lama: ollama.Client, model: str, server: Server) -> None:
    """Those of OpenAI's route: each token once, in streams with the line that shows it."""
    want = chat(server, SAY, logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
    named = [(one["token"], one["logprob"]) for one in want]
    fields: dict[str, Any] = {"options": GREEDY, "logprobs": True, "top_logprobs": 2}
    whole = lama.chat(model, SAY, **fields)
    parts = list(lama.chat(model, SAY, stream=True, **fields))
    said = lama.generate(model, SAY[0]["content"], **fields)
    for told in (whole.logprobs, said.logprobs, [one for part in parts for one in part.logprobs or []]):
        assert told and [(one.token, one.logprob) for one in told] == named
        assert [[(top.token, top.logprob) for top in one.top_logprobs or []] for one in told] == [
            [(top["token"], top["logprob"]) for top in one["top_logprobs"]] for one in want
        ]
    raw = lama.generate(model, "The sky is", raw=True, **fields)
    body = {"prompt": "The sky is", "max_tokens": 12, "temperature": 0, "logprobs": 2}
    same = server.post("/v1/completions", body).json["choices"][0]["logprobs"]
    assert raw.logprobs and [one.logprob for one in raw.logprobs] == same["token_logprobs"] and len(raw.logprobs[0].top_logprobs or []) == 2
    assert lama.chat(model, SAY, options=GREEDY).logprobs is None
    for path, body in (("/api/chat", {"messages": SAY}), ("/api/generate", {"prompt": "x", "raw": True})):
        assert "logprobs must be true or false" in server.post(path, {**body, "logprobs": "x"}).json["error"]
        assert "between 0 and 20" in server.post(path, {**body, "logprobs": True, "top_logprobs": 21}).json["error"]
