"""Conversations that the chat templates are compared on."""

from typing import Any

Vars = dict[str, Any]
Message = dict[str, Any]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather \"now\" & here <b>.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "the town, e.g. Zürich"},
                "days": {"type": "integer"},
                "units": {"type": ["string", "null"], "enum": ["°C", "°F"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "where": {
                    "type": "object",
                    "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
                },
            },
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "now",
        "description": "The time.",
        "parameters": {"type": "object", "properties": {}},
        "return": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


def say(role: str, content: Any, **more: Any) -> Message:
    return {"role": role, "content": content, **more}


def call(name: str, arguments: Any, call_id: str = "abcdef123") -> Message:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = say("user", "What is 2+2?")
ASSISTANT = say("assistant", "  Four.  ")
SYSTEM = say("system", "Be brief.\nBe kind.")
THOUGHT = say("assistant", "<think>\nHm, two and two.\n</think>\n\nFour.")
UNICODE = say("user", "Grüße, 世界! 👩‍👩‍👧 ﬀ İ ß\u00a0\u2028end\t\"quoted\" \\n <|im_end|>")
PARTS = say("user", [{"type": "text", "text": " Look: "}, {"type": "image"}, {"type": "text", "text": "ünd?"}])
CALL = say("assistant", "", tool_calls=[call("get_weather", {"city": "Zürich", "days": 3, "x": None, "f": 1.5e-7})])
CALL_NULL = say("assistant", None, tool_calls=[call("now", {})])
CALL_TWO = say("assistant", "Wait.", tool_calls=[call("now", {}), call("get_weather", {"city": "\"Bern\""}, "ghijkl456")])
CALL_TEXT = say("assistant", "", tool_calls=[call("get_weather", '{"city": "Bern"}')])
CALL_SHORT_ID = say("assistant", "", tool_calls=[call("now", {}, "x")])
RESULT = say("tool", '{"temp": 21.5}', name="get_weather", tool_call_id="abcdef123")
RESULT_TWO = say("tool", "sunny", tool_call_id="ghijkl456")
RESULT_DICT = say("tool", {"content": {"a": [1, 2.0, True, None]}}, tool_call_id="abcdef123")

MESSAGES: dict[str, list[Message]] = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [USER, ASSISTANT, say("user", "And 3+3?")],
    "turns_system": [SYSTEM, USER, ASSISTANT, say("user", "And 3+3?")],
    "long": [SYSTEM] + [USER, ASSISTANT] * 9 + [USER],
    "thought": [USER, THOUGHT, say("user", "Sure?")],
    "thought_last": [USER, THOUGHT],
    "reasoning": [USER, say("assistant", "Four.", reasoning_content="\nAdd.\n"), say("user", "Sure?")],
    "reasoning_none": [USER, say("assistant", "Four.", reasoning_content=None)],
    "unicode": [UNICODE, say("assistant", "naïve café ½ Ⅷ"), UNICODE],
    "blank": [say("user", ""), say("assistant", ""), say("user", "   \n ")],
    "parts": [SYSTEM, PARTS],
    "parts_system": [say("system", [{"type": "text", "text": "Parts."}]), USER],
    "null": [USER, say("assistant", None)],
    "call": [USER, CALL, RESULT],
    "call_answer": [SYSTEM, USER, CALL, RESULT, ASSISTANT, USER],
    "call_null": [USER, CALL_NULL, RESULT, ASSISTANT],
    "call_two": [USER, CALL_TWO, RESULT, RESULT_TWO, ASSISTANT, USER],
    "call_text": [USER, CALL_TEXT, RESULT],
    "call_short_id": [USER, CALL_SHORT_ID, RESULT],
    "call_again": [USER, CALL, RESULT, CALL_NULL, RESULT_TWO],
    "result_dict": [USER, CALL, RESULT_DICT],
    "tool_response_text": [USER, ASSISTANT, say("user", "<tool_response>\nx\n</tool_response>")],
    "two_users": [USER, USER],
    "two_systems": [SYSTEM, SYSTEM, USER],
    "late_system": [USER, ASSISTANT, SYSTEM, USER],
    "assistant_first": [ASSISTANT, USER],
    "odd_role": [USER, say("critic", "No.")],
    "no_role": [{"content": "who?"}],
    "no_content": [{"role": "user"}],
    "number": [say("user", 42)],
    "named": [say("user", "Hi", name="Ann"), say("assistant", "Hello Ann", name="bot")],
    "newlines": [say("user", "\n\na\r\nb\n\n"), say("assistant", "\n\n<think>\n\n</think>\n\nok\n")],
    "template_text": [say("user", "{{ 7*7 }} {% if x %} {# c #}"), ASSISTANT],
    "empty": [],
}

EXTRAS: dict[str, Vars] = {
    "plain": {},
    "prompt": {"add_generation_prompt": True},
    "tools": {"add_generation_prompt": True, "tools": [WEATHER, CLOCK]},
    "bare_tools": {"tools": [WEATHER["function"]], "tools_in_user_message": False},
    "no_tools": {"tools": None, "add_generation_prompt": False},
    "no_thinking": {"add_generation_prompt": True, "enable_thinking": False, "thinking": False},
    "thinking": {"add_generation_prompt": True, "enable_thinking": True, "thinking": True, "date_string": "3 Mai 2031"},
    "documents": {
        "documents": [{"doc_id": 1, "text": "Erstens"}, {"doc_id": "b", "text": "zwei"}],
        "controls": {"length": "short", "citations": True},
        "add_generation_prompt": True,
    },
}


def conversations() -> dict[str, Vars]:
    """Every list of messages with every set of further variables."""
    base = {"bos_token": "<s>", "eos_token": "</s>"}
    return {
        f"{name}+{extra}": {**base, "messages": messages, **more}
        for name, messages in MESSAGES.items()
        for extra, more in EXTRAS.items()
    }
