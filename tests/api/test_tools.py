"""Tools through the official client. The model is small and calls nothing of its own accord, so it is held to calling."""

from __future__ import annotations

import json
import re
from typing import Any

import openai
import pytest
from jsonschema import Draft202012Validator
from kit import MODEL, Server
from openai.types.chat import ChatCompletionMessage

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "units": {"type": "string", "enum": ["C", "F"]},
        "where": {"$ref": "#/$defs/place"},
    },
    "required": ["city", "units"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 90}, "maxItems": 2}},
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Tells the weather.", "parameters": PARAMETERS}}
CLOCK = {"type": "function", "function": {"name": "now", "description": "Tells the time."}}
ASK: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather in Ulm?"}]
FORMATS = ["xml", "pythonic", "mistral"]  # tests/chat/test_tool_grammar.c has them all
LIMITS: dict[str, Any] = {"max_tokens": 250, "temperature": 0.8, "seed": 11}


def check_calls(message: ChatCompletionMessage) -> list[str]:
    """Every call is of a tool and fits its schema; the names."""
    assert message.tool_calls and message.content is None
    for call in message.tool_calls:
        assert call.type == "function" and re.fullmatch(r"call_[0-9A-Za-z]{24}", call.id)
        arguments = json.loads(call.function.arguments)
        if call.function.name == "now":
            assert arguments == {}
        else:
            Draft202012Validator(PARAMETERS).validate(arguments)
    assert len({call.id for call in message.tool_calls}) == len(message.tool_calls)
    return [call.function.name for call in message.tool_calls]


def test_named(client: openai.OpenAI) -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    reply = client.chat.completions.create(model=MODEL.stem, messages=ASK, tools=[WEATHER, CLOCK], tool_choice=named, **LIMITS)
    assert check_calls(reply.choices[0].message) == ["get_weather"]
    assert reply.choices[0].finish_reason == "tool_calls"


def test_required(client: openai.OpenAI) -> None:
    for fields in ({}, {"parallel_tool_calls": False}, {"n": 2}):
        reply = client.chat.completions.create(model=MODEL.stem, messages=ASK, tools=[CLOCK], tool_choice="required", **{**LIMITS, "max_tokens": 120}, **fields)
        for choice in reply.choices:
            if choice.finish_reason == "tool_calls":
                assert check_calls(choice.message)
        if fields == {"parallel_tool_calls": False}:
            assert check_calls(reply.choices[0].message) == ["now"]


def test_allowed(client: openai.OpenAI) -> None:
    """The tools that are not allowed are as if they were not there."""
    def allowed(mode: str) -> dict[str, Any]:
        one = {"type": "function", "function": {"name": "now"}}
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [one]}}

    fields: dict[str, Any] = {"model": MODEL.stem, "messages": ASK, "parallel_tool_calls": False, **LIMITS}
    both = {**fields, "tools": [WEATHER, CLOCK]}
    held = client.chat.completions.create(**both, tool_choice=allowed("required"))
    assert check_calls(held.choices[0].message) == ["now"]
    free, alone = (client.chat.completions.create(**wish) for wish in ({**both, "tool_choice": allowed("auto")}, {**fields, "tools": [CLOCK]}))
    assert free.choices[0].message == alone.choices[0].message
    assert free.usage.prompt_tokens == alone.usage.prompt_tokens == held.usage.prompt_tokens


def test_allowed_in_responses(client: openai.OpenAI) -> None:
    tools: Any = [{"type": "web_search"}, *({"type": "function", **tool["function"]} for tool in (WEATHER, CLOCK))]
    choice: Any = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}, {"type": "function", "name": "now"}]}
    reply = client.responses.create(model=MODEL.stem, input="What is the weather in Ulm?", tools=tools, tool_choice=choice, parallel_tool_calls=False, max_output_tokens=100)
    assert [(item.type, item.name) for item in reply.output] == [("function_call", "now")]
    assert reply.tool_choice.to_dict() == choice


def test_stream(client: openai.OpenAI) -> None:
    fields = {"model": MODEL.stem, "messages": ASK, "tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False, **LIMITS}
    whole = client.chat.completions.create(**fields).choices[0].message
    name, text, ids = "", "", []
    for chunk in client.chat.completions.create(**fields, stream=True):
        choice = chunk.choices[0]
        assert not choice.delta.content
        for call in choice.delta.tool_calls or []:
            assert call.index == 0
            if call.id:
                ids.append(call.id)
                assert call.type == "function" and call.function.arguments == ""
                name = call.function.name
            else:
                assert call.function.name is None
                text += call.function.arguments
    assert choice.finish_reason == "tool_calls" and len(ids) == 1
    assert whole.tool_calls and (name, text) == (whole.tool_calls[0].function.name, whole.tool_calls[0].function.arguments)
    with client.chat.completions.stream(**fields) as stream:  # the client's own way to put the pieces together
        final = stream.get_final_completion().choices[0].message
    assert final.tool_calls and final.tool_calls[0].function.arguments == text


@pytest.mark.parametrize("name", FORMATS)
def test_formats(make_server: Any, name: str) -> None:
    """What the grammar of each format lets through is what its parser reads."""
    server: Server = make_server("--tool-format", name)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)
    named = {"type": "function", "function": {"name": "now"}}
    reply = client.chat.completions.create(model=MODEL.stem, messages=ASK, tools=[WEATHER, CLOCK], tool_choice=named, max_tokens=400)
    assert check_calls(reply.choices[0].message) == ["now"] and reply.choices[0].finish_reason == "tool_calls"


def test_round_trip(client: openai.OpenAI) -> None:
    """The call goes back with a result, which becomes part of the prompt, and the model answers in words."""
    fields: dict[str, Any] = {"model": MODEL.stem, "tools": [CLOCK], "max_tokens": 20, "temperature": 0}
    named = {"type": "function", "function": {"name": "now"}}
    first = client.chat.completions.create(messages=ASK, tool_choice=named, **{**fields, "max_tokens": 100})
    message = first.choices[0].message
    assert check_calls(message) == ["now"] and message.tool_calls
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "twelve o'clock"}
    second = client.chat.completions.create(messages=[*ASK, message.model_dump(exclude_none=True), result], tool_choice="none", **fields)
    longer = client.chat.completions.create(messages=[*ASK, message.model_dump(exclude_none=True), {**result, "content": "one " * 50}], tool_choice="none", **fields)
    assert second.choices[0].message.content and second.usage and longer.usage and first.usage
    assert longer.usage.prompt_tokens - second.usage.prompt_tokens > 40


def test_functions(client: openai.OpenAI) -> None:
    """The older words for the same: asked that way, answered that way, and the history is the same prompt."""
    functions = [WEATHER["function"], CLOCK["function"]]
    named = {"type": "function", "function": {"name": "get_weather"}}
    old: dict[str, Any] = {"functions": functions, "function_call": {"name": "get_weather"}}
    new: dict[str, Any] = {"tools": [WEATHER, CLOCK], "tool_choice": named}
    fields: dict[str, Any] = {"model": MODEL.stem, "messages": ASK, **LIMITS}
    choice = client.chat.completions.create(**fields, **old).choices[0]
    same = client.chat.completions.create(**fields, **new).choices[0].message.tool_calls
    assert choice.finish_reason == "function_call" and choice.message.content is None and choice.message.tool_calls is None
    call = choice.message.function_call
    assert call and same and (call.name, call.arguments) == (same[0].function.name, same[0].function.arguments)
    deltas = [chunk.choices[0] for chunk in client.chat.completions.create(**fields, **old, stream=True)]
    parts = [one.delta.function_call for one in deltas if one.delta.function_call]
    assert deltas[-1].finish_reason == "function_call" and not any(one.delta.tool_calls for one in deltas)
    assert [part.name for part in parts] == ["get_weather"] + [None] * (len(parts) - 1)
    assert "".join(part.arguments or "" for part in parts) == call.arguments
    fields = {"model": MODEL.stem, "max_tokens": 8, "temperature": 0}
    result = {"role": "function", "name": "get_weather", "content": "Sunny."}
    told = client.chat.completions.create(messages=[*ASK, choice.message.model_dump(), result], functions=functions, **fields)
    calls = [{"id": "call_0", "type": "function", "function": call.model_dump()}]
    turns = [*ASK, {"role": "assistant", "content": None, "tool_calls": calls}, {"role": "tool", "tool_call_id": "call_0", "name": "get_weather", "content": "Sunny."}]
    again = client.chat.completions.create(messages=turns, tools=new["tools"], parallel_tool_calls=False, **fields)
    assert told.choices[0].message.content == again.choices[0].message.content and told.usage and again.usage
    assert told.usage.prompt_tokens == again.usage.prompt_tokens
    silent = client.chat.completions.create(messages=ASK, functions=functions, function_call="none", **fields)
    plain = client.chat.completions.create(messages=ASK, **fields)
    assert silent.usage and plain.usage and silent.usage.prompt_tokens == plain.usage.prompt_tokens


TOWN = {"type": "object", "properties": {"town": {"enum": ["Ulm", "Bonn"]}}, "required": ["town"]}


def first_token(server: Server, text: str) -> dict[str, int]:
    """The bias that has the answer begin with `text`, which nothing else here is made of."""
    return {str(server.post("/tokenize", {"content": text}).json["tokens"][0]): 100}


def test_a_format_is_of_the_text(client: openai.OpenAI, server: Server) -> None:
    """Agents send their tools and the format of the last answer together: an answer is calls, or a text of that format."""
    form = {"type": "json_schema", "json_schema": {"name": "town", "schema": TOWN}}
    fields: dict[str, Any] = {"model": MODEL.stem, "messages": ASK, "tools": [CLOCK], "response_format": form, "parallel_tool_calls": False, **LIMITS}
    must = client.chat.completions.create(**fields, tool_choice="required").choices[0]
    assert check_calls(must.message) == ["now"]
    for stream in (False, True):
        says, calls = [], []
        for start in ("<", "{"):
            reply = client.chat.completions.create(**fields, logit_bias=first_token(server, start), stream=stream)
            parts = [(c.choices[0].delta if stream else c.choices[0].message) for c in (reply if stream else [reply])]
            says.append("".join(part.content or "" for part in parts))
            calls.append([call.function.name for part in parts for call in part.tool_calls or [] if call.function.name])
        assert calls == [["now"], []] and says[0] == ""
        Draft202012Validator(TOWN).validate(json.loads(says[1]))
    silent = client.chat.completions.create(**fields, tool_choice="none").choices[0].message
    Draft202012Validator(TOWN).validate(json.loads(silent.content))


def test_a_format_beside_tools_in_responses(client: openai.OpenAI) -> None:
    text: Any = {"format": {"type": "json_schema", "name": "town", "schema": TOWN}}
    tool: Any = {"type": "function", "name": "now", "parameters": {"type": "object", "properties": {}}, "strict": False}
    reply = client.responses.create(model=MODEL.stem, input="What time is it?", tools=[tool], tool_choice="required", parallel_tool_calls=False, text=text, max_output_tokens=100)
    assert [(item.type, item.name) for item in reply.output] == [("function_call", "now")]


@pytest.mark.parametrize(("fields", "param", "words"), [
    ({"tools": [WEATHER], "tool_choice": "required", "guided_regex": "x"}, "tool_choice", "something else"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "not": {}}}}], "tool_choice": "required"}, "tools", "of f: "),
    ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice", "none, auto, required"),
    ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools"}}, "tool_choice", "a mode"),
    ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "any", "tools": [WEATHER]}}}, "tool_choice", "a mode"),
    ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}}, "tool_choice", "and tools"),
    ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [WEATHER, CLOCK]}}}, "tool_choice", "not among"),
    ({"tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "custom"}]}}}, "tool_choice", "not among"),
    ({"functions": 3}, "functions", "array"),
    ({"functions": [{"name": "f"}], "tools": [WEATHER]}, "functions", "cannot be combined"),
    ({"functions": [{"name": "f"}], "function_call": 3}, "function_call", "none, auto"),
    ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "tool_choice", "not among"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0]", "function_call"),
])
def test_refused(server: Server, fields: dict[str, Any], param: str, words: str) -> None:
    reply = server.post("/v1/chat/completions", {"messages": ASK} | fields)
    assert reply.status == 400, reply.body
    assert reply.json["error"]["param"] == param and words in reply.json["error"]["message"]
