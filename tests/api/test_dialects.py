"""What holds for every dialect of a chat: calls, whole and streamed; deadlines; keys, methods and a full queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import ollama
import openai
import pydantic
import pytest
from kit import MODEL, SLOW, Server

SAY = [{"role": "user", "content": "What is the weather in Ulm?"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Ulm", "Rome"]}, "days": {"enum": [1, 2]}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WANTED = [{"city": city, "days": days} for city in SCHEMA["properties"]["city"]["enum"] for days in (1, 2)]
ROUTES = ("/v1/messages", "/v1/responses", "/api/chat", "/api/generate")
WORDS = {"/v1/messages": "max_tokens", "/v1/responses": "max_output_tokens"}


RESPONSE_EVENT = pydantic.TypeAdapter[Any](openai.types.responses.ResponseStreamEvent)
MESSAGE_EVENT = pydantic.TypeAdapter[Any](anthropic.types.RawMessageStreamEvent)
LONG = {"type": "array", "items": {"type": "integer"}, "minItems": 2000}  # for a dialect without ignore_eos


def body_of(path: str, n: int, **fields: Any) -> dict[str, Any]:
    """A request that goes on for n tokens, in the route's words."""
    if path.startswith("/api/"):
        given = {"prompt": "Hello"} if path == "/api/generate" else {"messages": SAY}
        return {**given, "stream": False, "format": LONG, "options": {"num_predict": n}, **fields}
    given = {"input": "Hello"} if path == "/v1/responses" else {"messages": SAY}
    return {**given, WORDS[path]: n, "ignore_eos": True, **fields}


# ---- calls


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_anthropic_calls(server: Server, choice: dict[str, str]) -> None:
    tools = [{"name": "get_weather", "description": "Tells the weather.", "input_schema": SCHEMA}]
    fields: dict[str, Any] = {
        "model": MODEL.stem, "max_tokens": 200, "messages": SAY, "tools": tools,
        "tool_choice": {**choice, "disable_parallel_tool_use": True}, "extra_body": {"temperature": 0},
    }  # fmt: skip
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as claude:
        message = claude.messages.create(**fields)
        (block,) = message.content
        assert block.type == "tool_use" and block.name == "get_weather" and block.input in WANTED and block.id
        assert message.stop_reason == "tool_use"
        events = [event for event in claude.messages.create(**fields, stream=True) if event.type != "ping"]
        with claude.messages.stream(**fields) as stream:
            final = stream.get_final_message()
        result = {"type": "tool_result", "tool_use_id": block.id, "content": "Sunny."}
        turns = [*SAY, {"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        assert claude.messages.create(**{**fields, "messages": turns, "tool_choice": {"type": "none"}, "max_tokens": 3}).content
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"] and set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[1].content_block.type == "tool_use" and events[1].content_block.input == {}
    assert {event.delta.type for event in events[2:-3]} == {"input_json_delta"}
    assert json.loads("".join(event.delta.partial_json for event in events[2:-3])) == block.input
    assert events[-2].delta.stop_reason == final.stop_reason == "tool_use"
    assert [(one.type, one.name, one.input) for one in final.content] == [("tool_use", "get_weather", block.input)]


def test_responses_calls(client: openai.OpenAI) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}
    fields: dict[str, Any] = {
        "model": MODEL.stem, "input": SAY, "max_output_tokens": 200, "tools": [tool], "temperature": 0,
        "parallel_tool_calls": False, "tool_choice": "required",
    }  # fmt: skip
    whole = client.responses.create(**fields)
    (item,) = whole.output
    assert item.type == "function_call" and item.name == "get_weather" and item.call_id and item.status == "completed"
    assert json.loads(item.arguments) in WANTED and whole.status == "completed"
    named = client.responses.create(**{**fields, "tool_choice": {"type": "function", "name": "get_weather"}})
    assert [one.type for one in named.output] == ["function_call"]
    events = list(client.responses.create(**fields, stream=True))
    kinds = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert set(kinds[3:-3]) == {"response.function_call_arguments.delta"}
    assert kinds[-3:] == ["response.function_call_arguments.done", "response.output_item.done", "response.completed"]
    assert events[-3].arguments == "".join(event.delta for event in events[3:-3]) == item.arguments
    (last,) = events[-1].response.output
    assert last == events[-2].item and last.arguments == item.arguments and events[2].item.id == last.id
    result = {"type": "function_call_output", "call_id": item.call_id, "output": "Sunny."}
    again = client.responses.create(**{**fields, "input": [*SAY, item.model_dump(), result], "tool_choice": "none", "max_output_tokens": 3})
    assert again.output_text


def test_ollama_calls(server: Server) -> None:
    """Nothing in this dialect makes a model call. What it has done four times it does again."""
    turns: list[dict[str, Any]] = []
    for city in ("Rome", "Oslo", "Ulm", "Rome"):
        call = {"function": {"name": "now", "arguments": {"city": city}}}
        turns += [
            {"role": "user", "content": f"Time in {city}?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "twelve", "tool_name": "now"},
            {"role": "assistant", "content": "Twelve."},
        ]
    turns.append({"role": "user", "content": "Time in Oslo?"})
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "now", "description": "Tells the time.", "parameters": parameters}}
    fields: dict[str, Any] = {"tools": [tool], "options": {"temperature": 0, "repeat_penalty": 1, "num_predict": 60}}
    lama = ollama.Client(host=server.url)
    whole = lama.chat(MODEL.stem, turns, **fields)
    assert whole.message.content == "" and whole.done_reason == "stop" and whole.message.tool_calls
    assert [(c.function.name, c.function.arguments) for c in whole.message.tool_calls] == [("now", {"city": "Oslo"})]
    parts = list(lama.chat(MODEL.stem, turns, **fields, stream=True))
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [c for part in parts for c in part.message.tool_calls or []] == whole.message.tool_calls
    assert not parts[-1].message.tool_calls and parts[-1].done_reason == "stop"
    for stream in (False, True):  # what the client of this language does not show
        raw = server.post("/api/chat", {"messages": turns, **fields, "stream": stream}).body.splitlines()
        (call,) = (call for line in raw for call in json.loads(line)["message"].get("tool_calls", []))
        assert call["id"].startswith("call_") and call["function"]["index"] == 0
    result = [*turns, whole.message, {"role": "tool", "content": "twelve", "tool_name": "now"}]
    assert lama.chat(MODEL.stem, result, options={"num_predict": 2}).eval_count


# ---- the shapes that typed clients are made for


def test_shapes(server: Server) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": True}
    forced = {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    for more in ({WORDS["/v1/responses"]: 3}, {WORDS["/v1/responses"]: 100, "temperature": 0, **forced}):
        body = {"input": "Hello", **more}
        pydantic.TypeAdapter(openai.types.responses.Response).validate_python(server.post("/v1/responses", body).json)
        for event in server.events("/v1/responses", {**body, "stream": True}):
            RESPONSE_EVENT.validate_json(event)
    body = {"messages": SAY, "max_tokens": 3}
    pydantic.TypeAdapter(anthropic.types.Message).validate_python(server.post("/v1/messages", body).json)
    for event in server.events("/v1/messages", {**body, "stream": True}):
        if json.loads(event)["type"] != "ping":
            MESSAGE_EVENT.validate_json(event)
    pydantic.TypeAdapter(openai.types.CreateEmbeddingResponse).validate_python(server.post("/v1/embeddings", {"input": "a"}).json)


# ---- what fails


@pytest.mark.parametrize("path", ROUTES)
def test_deadline(server: Server, path: str) -> None:
    """408 in the dialect's form before the first byte; after it the stream's own word for a failure, and nothing else."""
    late = server.post(path, body_of(path, 3000, timeout_ms=1))
    assert late.status == 408 and "deadline" in message_of(path, late.json), late.body
    reply = server.post(path, body_of(path, 7000, timeout_ms=3000 * min(SLOW, 5), stream=True))
    assert reply.status == 200, reply.body
    lines = [line.removeprefix("data: ") for line in reply.body.decode().split("\n") if line and not line.startswith("event: ")]
    values = [json.loads(line) for line in lines]
    assert len(values) > 3 and "deadline" in json.dumps(values[-1])
    last = values[-1]
    if path == "/v1/messages":
        assert last["type"] == "error" and last["error"]["type"] == "timeout_error"
    elif path == "/v1/responses":
        assert last["type"] == "response.failed" and last["response"]["status"] == "failed"
        assert [value["sequence_number"] for value in values] == list(range(len(values)))
    else:
        assert set(last) == {"error"} and not any(value["done"] for value in values[:-1])


def message_of(path: str, error: dict[str, Any]) -> str:
    """The words of an error, whose form is checked."""
    if path.startswith("/api/"):
        assert set(error) == {"error"}
        return error["error"]
    if path.startswith("/v1/messages"):
        assert set(error) == {"type", "error"} and error["type"] == "error"
        assert set(error["error"]) - {"details"} == {"type", "message"}
        assert set(error["error"].get("details", {"error_code": ""})) == {"error_code"}
    else:
        assert set(error["error"]) == {"message", "type", "param", "code"}
    return error["error"]["message"]


def test_methods(server: Server) -> None:
    for path in (*ROUTES, "/v1/messages/count_tokens", "/v1/embeddings", "/tokenize", "/detokenize", "/apply-template", "/api/show"):
        wrong = server.get(path)
        assert wrong.status == 405 and wrong.headers["allow"] == "POST, OPTIONS" and "GET" in message_of(path, wrong.json)
        head = server.request("HEAD", path)
        assert head.status == 405 and head.body == b""
        assert server.request("OPTIONS", path).status == 204
        assert server.request("DELETE", path).status == 405
    for path in ("/api/tags", "/api/ps", "/api/version"):
        head = server.request("HEAD", path)
        assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) > 0
        assert "POST" in message_of(path, server.post(path, {}).json)


def test_no_key(make_server: Callable[..., Server]) -> None:
    server = make_server("--api-key", "secret-key-of-a-test")
    key = {"x-api-key": "secret-key-of-a-test"}
    for path in (*ROUTES, "/v1/embeddings", "/v1/messages/count_tokens", "/api/show"):
        refused = server.post(path, {})
        assert refused.status == 401 and "key" in message_of(path, refused.json)
        assert server.request("POST", path, {}, key).status != 401
    assert server.post("/v1/messages", {}).json["error"]["type"] == "authentication_error"


def test_no_room(make_server: Callable[..., Server]) -> None:
    server = make_server("--max-running", "1", "--max-queue", "1")
    endless = {"prompt": "Hello", "max_tokens": 7000, "ignore_eos": True, "stream": True}
    socks = [server.open("POST", "/generate", endless) for _ in range(2)]
    server.wait_stats(running=1, waiting=1)
    for path in ROUTES:
        full = server.post(path, body_of(path, 3))
        assert full.status == 429 and "queue" in message_of(path, full.json), full.body
        assert int(full.headers["retry-after"]) > 0
        if path == "/v1/messages":
            assert full.json["error"]["type"] == "rate_limit_error"
    for sock in socks:
        sock.close()
