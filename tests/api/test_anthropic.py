"""Anthropic's API through its official client."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from kit import Server

SAY = [{"role": "user", "content": "Name three colours."}]
GREEDY = {"temperature": 0}  # this client no longer knows it
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a town",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def claude(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def model(server: Server) -> str:
    return server.get("/v1/models").json["data"][0]["id"]


def ask(claude: anthropic.Anthropic, model: str, **more: Any) -> anthropic.types.Message:
    return claude.messages.create(**{"model": model, "max_tokens": 12, "messages": SAY, "extra_body": GREEDY, **more})


def chat(server: Server, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    reply = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 12, "temperature": 0, **more})
    assert reply.status == 200, reply.body
    return reply.json


def test_message(claude: anthropic.Anthropic, model: str, server: Server) -> None:
    message = ask(claude, model)
    same = chat(server, SAY)
    assert message.id.startswith("msg_") and message.type == "message" and message.role == "assistant"
    assert message.model == model and message.stop_sequence is None
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == same["choices"][0]["message"]["content"]
    assert message.stop_reason == {"length": "max_tokens", "stop": "end_turn"}[same["choices"][0]["finish_reason"]]
    usage = message.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == same["usage"]["prompt_tokens"]
    assert usage.output_tokens == same["usage"]["completion_tokens"]


def test_stream(claude: anthropic.Anthropic, model: str) -> None:
    whole = ask(claude, model, max_tokens=20)
    with claude.messages.stream(model=model, max_tokens=20, messages=SAY, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == whole.stop_reason and final.usage.output_tokens == whole.usage.output_tokens


def test_events(claude: anthropic.Anthropic, model: str) -> None:
    events = list(claude.messages.create(model=model, max_tokens=5, messages=SAY, extra_body=GREEDY, stream=True))
    kinds = [event.type for event in events if event.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert events[0].message.content == [] and events[0].message.stop_reason is None
    assert {event.index for event in events if event.type.startswith("content_block")} == {0}


def test_system_and_turns(claude: anthropic.Anthropic, model: str, server: Server) -> None:
    turns = [*SAY, {"role": "assistant", "content": "Red."}, {"role": "user", "content": "More!"}]
    want = chat(server, [{"role": "system", "content": "Be brief."}, *turns])["choices"][0]["message"]["content"]
    blocks = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
    assert ask(claude, model, system="Be brief.", messages=turns).content[0].text == want
    system = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]
    assert ask(claude, model, system=system, messages=blocks).content[0].text == want


def test_a_billing_line_is_no_part_of_the_prompt(claude: anthropic.Anthropic, model: str) -> None:
    """Claude Code sends it before all else, and each conversation has another."""
    line = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.fa0; cc_entrypoint=cli;"}
    told = {"type": "text", "text": "Be brief."}
    counts = [claude.messages.count_tokens(model=model, messages=SAY, system=system).input_tokens
              for system in ([told], [line, told], [told, line])]  # fmt: skip
    assert counts[0] == counts[1] < counts[2]


def test_stop_sequence(claude: anthropic.Anthropic, model: str) -> None:
    text = ask(claude, model, max_tokens=30).content[0].text
    stop = text[5:8]
    message = ask(claude, model, max_tokens=30, stop_sequences=["never this one", stop])
    assert message.stop_reason == "stop_sequence" and message.stop_sequence == stop
    assert message.content[0].text == text[: text.index(stop)]


def test_tools_in_history(claude: anthropic.Anthropic, model: str, server: Server) -> None:
    """A round trip's second half: the call and its result reach the template as they would in OpenAI's form."""
    call = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "Sunny."}]}
    turns = [
        {"role": "user", "content": "Weather in Rome?"},
        {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, call]},
        {"role": "user", "content": [result, {"type": "text", "text": "So?"}]},
    ]
    function = {"name": "get_weather", "arguments": '{"city":"Rome"}'}
    same = [
        turns[0],
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny."},
        {"role": "user", "content": "So?"},
    ]
    message = ask(claude, model, messages=turns, tools=[WEATHER])
    tool = {
        "type": "function",
        "function": {
            "name": WEATHER["name"], "description": WEATHER["description"], "parameters": WEATHER["input_schema"],
        },
    }  # fmt: skip
    want = chat(server, same, tools=[tool])
    assert message.content[0].text == want["choices"][0]["message"]["content"]
    assert claude.messages.count_tokens(model=model, messages=turns, tools=[WEATHER]).input_tokens == (
        want["usage"]["prompt_tokens"]
    )


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"max_tokens": None}, "max_tokens is missing"),
        ({"max_tokens": "5"}, "max_tokens must be an integer"),
        ({"output_config": 3}, "output_config"),
        ({"output_config": {"format": {"type": "text"}}}, "output_config.format"),
        ({"output_format": {"type": "json_schema"}}, "output_format must"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [{**WEATHER, "input_schema": 3}]}, "tools[0]"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0]"),
        ({"system": [{"type": "image"}]}, "system.content[0]"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tool_choice": {"type": "some"}}, "tool_choice"),
        ({"temperature": 3}, "temperature"),
        ({"stop_sequences": 3}, "stop_sequences"),
        ({"stop_sequences": [None]}, "stop_sequences"),
        ({"thinking": {"type": "perhaps"}}, "thinking"),
    ],
)
def test_refused(server: Server, fields: dict[str, Any], place: str) -> None:
    body = {"max_tokens": 5, "messages": SAY, **fields}
    reply = server.post("/v1/messages", body)
    assert reply.status == 400 and reply.json["type"] == "error", reply.body
    error = reply.json["error"]
    assert error["type"] == "invalid_request_error" and error["message"].startswith(place), error


def test_errors_are_the_clients_own(claude: anthropic.Anthropic, model: str, server: Server) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(claude, "claude-nothing")
    assert caught.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError):
        ask(claude, model, messages=[{"role": "user", "content": "word " * 20000}])
    assert server.get("/v1/messages").status == 405
    assert server.get("/v1/messages").json["type"] == "error"


def test_errors_have_codes_to_act_on(server: Server) -> None:
    """Tool runners start with a thread, and go on without one only if the refusal has this code."""
    body = {"max_tokens": 5, "messages": SAY}
    refused = server.post("/v1/messages", {**body, "thread": {"type": "create"}})
    assert refused.status == 400 and refused.json["error"]["details"] == {"error_code": "thread_unsupported_request"}, refused.body
    assert "details" not in server.post("/v1/messages", {**body, "container": "c"}).json["error"]


def test_models(claude: anthropic.Anthropic, model: str) -> None:
    """The list that OpenAI's clients get has what this one looks for, too."""
    (listed,), one = list(claude.models.list()), claude.models.retrieve(model)
    assert listed == one and one.id == one.display_name == model and one.type == "model"
    assert isinstance(one.created_at, datetime.datetime) and one.max_input_tokens == 8192
    page = claude.models.list()
    assert page.has_more is False and page.first_id == page.last_id == model


def test_formats(server: Server) -> None:
    """As it is asked for now, and as betas asked."""
    schema = {"type": "object", "properties": {"red": {"type": "boolean"}}, "required": ["red"], "additionalProperties": False}
    form = {"type": "json_schema", "schema": schema}
    for fields in ({"output_config": {"format": form}}, {"output_format": form}, {"output_config": {"effort": "low"}, "output_format": form}):
        reply = server.post("/v1/messages", {"max_tokens": 50, "messages": SAY, **fields})
        assert reply.status == 200, reply.body
        assert isinstance(json.loads(reply.json["content"][0]["text"])["red"], bool)


def test_abort(claude: anthropic.Anthropic, model: str, server: Server) -> None:
    with claude.messages.stream(model=model, max_tokens=2000, messages=SAY, extra_body={"ignore_eos": True}) as stream:
        for n, _ in enumerate(stream.text_stream):
            if n == 2:
                break
    server.wait_idle()


def test_a_begun_answer_is_continued(claude: anthropic.Anthropic, model: str, server: Server) -> None:
    begun = [*SAY, {"role": "assistant", "content": "Sure! They are"}]
    same = chat(server, begun, continue_final_message=True)
    message = ask(claude, model, messages=begun)
    assert message.content[0].text == same["choices"][0]["message"]["content"]
    blocks = [*SAY, {"role": "assistant", "content": [{"type": "text", "text": "Sure! They are"}]}]
    assert ask(claude, model, messages=blocks).content == message.content
    counted = claude.messages.count_tokens(model=model, messages=begun)
    assert counted.input_tokens == message.usage.input_tokens + message.usage.cache_read_input_tokens == same["usage"]["prompt_tokens"]


def test_instructions_inside_a_conversation(claude: anthropic.Anthropic, model: str, server: Server) -> None:
    turns: list[Any] = [*SAY, {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, {"role": "user", "content": "Again."}]
    message = ask(claude, model, messages=turns)
    same = chat(server, [SAY[0], {"role": "system", "content": "Be brief."}, turns[2]])
    assert message.content[0].text == same["choices"][0]["message"]["content"]
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens == same["usage"]["prompt_tokens"]
