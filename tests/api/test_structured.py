"""Constrained answers: every one fits what was asked for, whole and streamed, alone and under load."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import openai
import pytest
from jsonschema import Draft202012Validator
from kit import Server
from pydantic import BaseModel, Field

CHAT = "/v1/chat/completions"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "colour": {"enum": ["red", "green", None]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 8}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "integer", "maximum": 99, "minimum": 0}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["v", "next"],
        }
    },
    "$ref": "#/$defs/node",
}


def schema_format(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def ask(server: Server, text: str, **fields: Any) -> dict[str, Any]:
    """The first choice of a chat."""
    reply = server.chat(text, **{"max_tokens": 150, "temperature": 1.3, "seed": 5, **fields})
    assert reply.status == 200, reply.body
    return reply.json["choices"][0]


def content(choice: dict[str, Any]) -> str:
    assert choice["finish_reason"] == "stop", choice
    return choice["message"]["content"]


# What a request may say, and what all of the answer must match.
FORMS: list[tuple[dict[str, Any], str]] = [
    ({"guided_choice": ["yes", "no", "maybe not"]}, "yes|no|maybe not"),
    ({"structured_outputs": {"choice": ["\u00e4rger", "\U0001f600"]}}, "\u00e4rger|\U0001f600"),
    ({"guided_regex": r"\d{3}-\d{4}"}, r"\d{3}-\d{4}"),
    ({"structured_outputs": {"regex": "^[a-f]{5}$"}}, "[a-f]{5}"),
    ({"grammar": 'root ::= ("tick" | "tock") "!"'}, "(tick|tock)!"),
    ({"guided_grammar": "root ::= [\\u0410-\\u042f]{4}"}, "[\u0410-\u042f]{4}"),
    ({"structured_outputs": {"grammar": 'root ::= "a" | "b" root'}}, "b*a"),
    ({"json_schema": {"type": "integer", "minimum": 10, "maximum": 99}}, "[1-9][0-9]"),
    ({"guided_json": '{"const": [1, {"a": null}]}'}, re.escape('[1,{"a":null}]')),
    ({"structured_outputs": {"json": {"enum": [True, "x"]}}}, 'true|"x"'),
    ({"response_format": schema_format({"type": "string", "format": "date"})}, r'"\d{4}-\d\d-\d\d"'),
    ({"response_format": {"type": "json_object", "schema": {"type": "object", "maxProperties": 0}}}, r"\{\s*\}"),
]


@pytest.mark.parametrize(("fields", "pattern"), FORMS, ids=[next(iter(fields)) + str(i) for i, (fields, _) in enumerate(FORMS)])
def test_forms(server: Server, fields: dict[str, Any], pattern: str) -> None:
    assert re.fullmatch(pattern, content(ask(server, "Say something.", **fields)))
    data = server.generate("Something: ", max_tokens=60, temperature=1, seed=3, **fields)
    assert re.fullmatch(pattern, data["text"]) and data["finish_reason"] == "stop"


@pytest.mark.parametrize("schema", [PERSON, TREE], ids=["person", "tree"])
def test_schemas(server: Server, schema: dict[str, Any]) -> None:
    validator = Draft202012Validator(schema)
    for seed in range(3):
        choice = ask(server, "A record in JSON, please.", seed=seed, response_format=schema_format(schema))
        if choice["finish_reason"] == "stop":
            validator.validate(json.loads(choice["message"]["content"]))
        else:
            assert choice["finish_reason"] == "length"


def test_json_object(server: Server) -> None:
    choice = ask(server, "An empty object.", response_format={"type": "json_object"}, temperature=0, max_tokens=60)
    text = choice["message"]["content"]
    assert text.startswith("{")
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(text), dict)


class Person(BaseModel):
    name: str = Field(max_length=10)
    mood: Literal["good", "bad"]
    age: int = Field(ge=0, le=150)


def test_openai_parse(client: openai.OpenAI) -> None:
    model = client.models.list().data[0].id
    parsed = client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "Who are you?"}], response_format=Person, max_tokens=120, seed=4
    )
    assert isinstance(parsed.choices[0].message.parsed, Person)


def test_stream_equals_whole(server: Server) -> None:
    fields = {"temperature": 1, "seed": 8, "max_tokens": 150, "response_format": schema_format(PERSON)}
    body = {"messages": [{"role": "user", "content": "A record."}], **fields, "stream": True}
    events = [json.loads(event) for event in server.events(CHAT, body) if event != "[DONE]"]
    text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
    assert text == ask(server, "A record.", **fields)["message"]["content"]
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


def test_choices_differ(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "A number."}], "n": 4, "seed": 1, "temperature": 1.5, "guided_regex": "[0-9]{6}"}
    choices = server.post(CHAT, body).json["choices"]
    texts = [choice["message"]["content"] for choice in choices]
    assert all(re.fullmatch("[0-9]{6}", text) for text in texts) and len(set(texts)) > 1


def bodies() -> list[dict[str, Any]]:
    grammars: list[dict[str, Any]] = [
        {"response_format": schema_format(PERSON)},
        {"guided_regex": "([a-z]{2,8} ){3,6}\\."},
        {"grammar": 'root ::= item ("\\n" item){2,4}\nitem ::= "- " [^\\n]{3,20}'},
        {},
    ]
    out = []
    for i in range(12):
        sampling = {"temperature": 0} if i % 3 == 0 else {"temperature": 1.1, "seed": i, "top_p": 0.9}
        out.append({"prompt": f"Record {i % 5}: ", "max_tokens": 40, **sampling, **grammars[i % 4]})
    return out


def test_concurrent_equals_alone(server: Server) -> None:
    alone = [server.generate(**body) for body in bodies()]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda body: server.generate(**body), bodies()))
    for one, other in zip(alone, together, strict=True):
        assert (one["text"], one["finish_reason"]) == (other["text"], other["finish_reason"])


def test_biases_do_not_break_it(server: Server) -> None:
    tokens = server.post("/encode", {"text": "yes no"}).data["tokens"]
    choice = ask(server, "Well?", guided_choice=["yes", "no"], logit_bias={str(token): -100 for token in tokens})
    assert content(choice) in ("yes", "no")


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"response_format": "json"}, "response_format", "must be an object with type"),
    ({"response_format": {"type": "xml"}}, "response_format", "xml"),
    ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format", "json_schema.schema"),
    ({"response_format": schema_format({"not": {}})}, "response_format", "#/not: is not supported"),
    ({"response_format": schema_format({"properties": {"a/b": {"type": "strin"}}})}, "response_format", "#/properties/a~1b/type"),
    ({"response_format": schema_format({"$ref": "#/$defs/none"})}, "response_format", "does not exist"),
    ({"response_format": schema_format({"enum": []})}, "response_format", "no value fits"),
    ({"response_format": schema_format({"$ref": "#"})}, "response_format", "can never end"),
    ({"json_schema": 5}, "json_schema", "must be a JSON schema"),
    ({"guided_json": "{"}, "guided_json", "not JSON"),
    ({"grammar": "root ::= root"}, "grammar", "rule root"),
    ({"grammar": 7}, "grammar", "must be a string"),
    ({"guided_grammar": 'x ::= "a"'}, "guided_grammar", "no rule named root"),
    ({"guided_regex": "(?=a)b"}, "guided_regex", "lookahead"),
    ({"guided_regex": "a("}, "guided_regex", "closing parenthesis"),
    ({"guided_choice": []}, "guided_choice", "1 to"),
    ({"guided_choice": ["a", 1]}, "guided_choice", "element 1"),
    ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs", "structural_tag"),
    ({"structured_outputs": 1}, "structured_outputs", "must be an object"),
    ({"grammar": 'root ::= "a"', "guided_regex": "a"}, "guided_regex", "cannot be combined with grammar"),
    ({"grammar": 'root ::= "a"', "ignore_eos": True}, "ignore_eos", "cannot be combined"),
    ({"guided_whitespace_pattern": "x", "guided_regex": "a"}, "guided_whitespace_pattern", "not supported"),
]


@pytest.mark.parametrize(("fields", "param", "words"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_bad(server: Server, fields: dict[str, Any], param: str, words: str) -> None:
    reply = server.chat("Hello", **fields)
    assert reply.status == 400, reply.body
    error = reply.json["error"]
    assert error["param"] == param and words in error["message"], error


def test_null_and_empty_mean_none(server: Server) -> None:
    fields = {"response_format": None, "grammar": "", "guided_choice": None, "structured_outputs": {"regex": None}}
    free = server.chat("Hi", max_tokens=8, temperature=0).json["choices"][0]
    assert server.chat("Hi", max_tokens=8, temperature=0, **fields).json["choices"][0] == free


def test_no_way_on(server: Server) -> None:
    """The vocabulary has no token for U+0004: an error, not some other text."""
    reply = server.chat("Hello", guided_regex="a\\x04b", temperature=0)
    assert reply.status == 400 and reply.json["error"]["code"] == "no_token"
