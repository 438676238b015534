"""OpenAI's Responses API through the official client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pydantic
import pytest
from kit import Server

SAY = "Name three colours."
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a town",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}


@pytest.fixture
def model(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def ask(client: openai.OpenAI, model: str, given: Any = SAY, **more: Any) -> Any:
    return client.responses.create(**{"model": model, "input": given, "max_output_tokens": 12, "temperature": 0, **more})


def chat(server: Server, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    reply = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 12, "temperature": 0, **more})
    assert reply.status == 200, reply.body
    return reply.json


def test_response(client: openai.OpenAI, model: str, server: Server) -> None:
    response = ask(client, model)
    want = chat(server, [{"role": "user", "content": SAY}])
    assert response.id.startswith("resp_") and response.object == "response" and response.model == model
    assert response.output_text == want["choices"][0]["message"]["content"]
    (item,) = response.output
    cut = want["choices"][0]["finish_reason"] == "length"
    assert item.type == "message" and item.role == "assistant" and item.content[0].type == "output_text"
    assert response.status == item.status == ("incomplete" if cut else "completed")
    assert not cut or response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.input_tokens == want["usage"]["prompt_tokens"]
    assert response.usage.output_tokens == want["usage"]["completion_tokens"]
    assert response.temperature == 0 and response.max_output_tokens == 12 and response.tools == []


def test_stream(client: openai.OpenAI, model: str) -> None:
    whole = ask(client, model, max_output_tokens=20)
    events = list(ask(client, model, max_output_tokens=20, stream=True))
    kinds = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]  # fmt: skip
    assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert "".join(event.delta for event in events if event.type.endswith("text.delta")) == whole.output_text
    last = events[-1].response
    assert events[-1].type == f"response.{whole.status}" and last.output_text == whole.output_text
    assert last.usage.output_tokens == whole.usage.output_tokens


def test_stream_to_its_end(client: openai.OpenAI, model: str) -> None:
    """The client's own reader of streams, which knows only responses that are complete."""
    text = ask(client, model, max_output_tokens=20).output_text
    stop = {"stop": text[6:9]}
    with client.responses.stream(model=model, input=SAY, temperature=0, extra_body=stop) as stream:
        assert stream.get_final_response().output_text == text[: text.index(text[6:9])]


def test_forms_of_the_same_conversation(client: openai.OpenAI, model: str, server: Server) -> None:
    turns = [
        {"role": "user", "content": SAY},
        {"role": "assistant", "content": "Red."},
        {"role": "user", "content": "More!"},
    ]
    want = chat(server, [{"role": "system", "content": "Be brief."}, *turns])["choices"][0]["message"]["content"]
    kinds = {"user": "input_text", "assistant": "output_text"}
    items = [
        {"type": "message", "role": t["role"], "content": [{"type": kinds[t["role"]], "text": t["content"]}]}
        for t in turns
    ]
    assert ask(client, model, turns, instructions="Be brief.").output_text == want
    assert ask(client, model, items, instructions="Be brief.").output_text == want
    assert ask(client, model, [{"role": "developer", "content": "Be brief."}, *items]).output_text == want
    before = ask(client, model, turns[:1])
    again = ask(client, model, [turns[0], *[item.model_dump() for item in before.output], turns[2]])
    assert again.output_text  # an answer may be sent back as it came


def test_calls_in_history(client: openai.OpenAI, model: str, server: Server) -> None:
    items = [
        {"role": "user", "content": "Weather in Rome and Oslo?"},
        {"type": "function_call", "call_id": "a", "name": "get_weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call", "call_id": "b", "name": "get_weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "a", "output": "Sunny."},
        {"type": "function_call_output", "call_id": "b", "output": "Snow."},
    ]
    calls = [
        {"id": i["call_id"], "type": "function", "function": {"name": i["name"], "arguments": i["arguments"]}}
        for i in items[1:3]
    ]
    same = [
        items[0],
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "Sunny."},
        {"role": "tool", "tool_call_id": "b", "content": "Snow."},
    ]
    function = {key: WEATHER[key] for key in ("name", "description", "parameters")}
    want = chat(server, same, tools=[{"type": "function", "function": function}])
    response = ask(client, model, items, tools=[WEATHER])
    assert response.output_text == want["choices"][0]["message"]["content"]
    assert response.usage.input_tokens == want["usage"]["prompt_tokens"]


def test_tools_that_are_not_functions_are_left_out(client: openai.OpenAI, model: str) -> None:
    """Codex offers the service's own tools beside its functions, and does not know what service it is."""
    theirs: Any = [{"type": "namespace", "name": "agents", "tools": [WEATHER]}, WEATHER, {"type": "web_search"}]
    plain, mixed = ask(client, model, SAY, tools=[WEATHER]), ask(client, model, SAY, tools=theirs)
    assert mixed.output_text == plain.output_text and mixed.usage.input_tokens == plain.usage.input_tokens


def test_structured(client: openai.OpenAI, model: str) -> None:
    class Colour(pydantic.BaseModel):
        name: str
        bright: bool

    response = client.responses.parse(
        model=model, input="A colour?", text_format=Colour, max_output_tokens=200, temperature=0
    )
    assert isinstance(response.output_parsed, Colour)
    loose = ask(client, model, "An object.", text={"format": {"type": "json_object"}}, max_output_tokens=200)
    assert loose.status == "incomplete" or isinstance(json.loads(loose.output_text), dict)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [WEATHER, {"name": "now"}]}, "tools"),
        ({"tools": [WEATHER, {"type": "web_search"}], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"instructions": 3}, "instructions"),
        ({"temperature": 3}, "temperature"),
        ({"text": "json"}, "text"),
        ({"reasoning": 3}, "reasoning"),
        ({"tools": [WEATHER], "tool_choice": {"name": "get_weather"}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice"),
        ({"input": [{"role": "tool", "content": "x"}], "instructions": "Be brief."}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"text": {"format": {"type": "xml"}}}, "response_format"),
    ],
)
def test_refused(server: Server, fields: dict[str, Any], param: str) -> None:
    reply = server.post("/v1/responses", {"input": SAY, **fields})
    assert reply.status == 400 and reply.json["error"]["param"] == param, reply.body


def test_abort(client: openai.OpenAI, model: str, server: Server) -> None:
    stream = ask(client, model, max_output_tokens=2000, stream=True, extra_body={"ignore_eos": True})
    for event in stream:
        if event.type == "response.output_text.delta":
            break
    stream.close()
    server.wait_idle()
