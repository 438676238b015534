"""JSON schemas as grammars: against the public test suite, a reference validator, and a table of our own."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any, Literal

import pytest
import schema_suite
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, HttpUrl
from schema_suite import Group, ask, compact


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    found = schema_suite.read_suite()
    schema_suite.judge(found)
    return found


def test_nothing_invalid_is_accepted(groups: list[Group]) -> None:
    wrong = [(g.schema, test["data"]) for g in groups if g.answer["ok"] for test, fits in g.fits() if fits and not test["valid"]]
    assert not wrong


def test_random_texts_are_valid(groups: list[Group]) -> None:
    n = 0
    for group in groups:
        if group.topic.startswith("optional/") or not group.answer["ok"]:
            continue
        validator = Draft202012Validator(group.schema)
        for text in group.answer["samples"]:
            assert validator.is_valid(json.loads(text)), (group.schema, text)
            n += 1
    assert n > 500


def test_refusals_name_the_place(groups: list[Group]) -> None:
    for group in groups:
        if not group.answer["ok"]:
            assert group.answer["error"].startswith(("#", "rule ", "the ")), group.answer["error"]


def test_the_document_is_true(groups: list[Group]) -> None:
    assert schema_suite.document_parts()[1] == schema_suite.table(groups), "run tests/constrain/schema_suite.py --write"


RECORD = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "kind": {"enum": ["a", "b", None, 3]},
        "when": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "minItems": 1, "maxItems": 3},
    },
    "required": ["id", "tags"],
}
LIST = {"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}
SHAPES = {
    "oneOf": [
        {"type": "object", "properties": {"t": {"const": "c"}, "r": {"type": "number", "minimum": 0}}, "required": ["t", "r"]},
        {"type": "object", "properties": {"t": {"const": "s"}, "a": {"type": "number", "exclusiveMinimum": 0}}, "required": ["t", "a"]},
    ]
}
MERGED = {
    "allOf": [
        {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"properties": {"a": {"minimum": 5, "maximum": 20}, "b": {"type": ["string", "null"]}}},
    ]
}
OPEN = {"type": "object", "properties": {"ab": {"type": "integer"}, "a": {"type": "null"}}, "additionalProperties": {"type": "string"}}

# A schema, texts that fit, and texts that do not.
CASES: list[tuple[Any, list[str], list[str]]] = [
    (RECORD, ['{"id":1,"tags":["x"]}', '{"id":12,"name":"\u00e9\\n\\u00e9\U0001f600x","kind":3,"tags":["a","b","c"]}',
              '{\n  "id": 1,\n  "when": "2024-02-29T23:59:59.5Z",\n  "tags": [\n    "x"\n  ]\n}', '{ "id": 1, "tags": ["x"] }'],
     ['{"id":0,"tags":["x"]}', '{"tags":["x"],"id":1}', '{"id":1,"tags":[]}', '{"id":1,"name":"","tags":["x"]}', '{"id":1,"tags":["X"]}',
      '{"id":1,"when":"2023-02-29T00:00:00Z","tags":["x"]}', '{"id":1,"tags":["x"],"more":1}', '{"id":1,"tags":["x"]', '{"id":1,"name":"abcdef","tags":["x"]}']),
    (LIST, ["{}", '{"next":{}}', '{"next":{"next":{"next":{}}}}'], ['{"next":1}', '{"next":{"x":1}}']),
    (SHAPES, ['{"t":"c","r":0}', '{"t":"s","a":0.5}'], ['{"t":"c","a":1}', '{"t":"s","a":0}', '{"t":"s","a":0.0}']),
    (MERGED, ['{"a":5}', '{"a":20,"b":null}', '{"a":7,"b":"x"}'], ['{"a":4}', '{"a":21}', '{"b":null}', '{"a":5,"b":1}']),
    (OPEN, ["{}", '{"ab":1,"a":null,"abc":"x"}', '{"x":"y","\u00e4":"z"}', '{"":"x","b":"y"}', '{"a\\"":"x"}'],
     ['{"ab":"x"}', '{"a":"x"}', '{"abc":1}', '{"\\u0061":"x"}', '{"a\\u0062":"x"}', '{"ab":1,"ab":"x"}']),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2}, ["{}", '{"a":1,"b":2}'], ['{"a":1,"b":2,"c":3}', '{"a":"x"}']),
    ({"type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False}, ["{}", '{"x-a":1}'], ['{"a":1}']),
    ({"type": "object", "propertyNames": {"maxLength": 2}}, ['{"ab":[1,{}]}'], ['{"abc":1}']),
    ({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1}, ['{"a":1}', '{"b":2}'], ["{}"]),
    ({"type": "integer"}, ["0", "-7", "123456789012345678"], ["01", "-", "1.0", "1e3", "--1", "1234567890123456789"]),
    ({"type": "integer", "minimum": -12, "maximum": 305}, ["-12", "-1", "0", "9", "99", "100", "305"], ["-13", "306", "-0", "1000", "00"]),
    ({"type": "integer", "exclusiveMinimum": 99, "exclusiveMaximum": 1001}, ["100", "1000", "999"], ["99", "1001", "0"]),
    ({"type": "integer", "minimum": 1.5}, ["2", "100"], ["1", "0", "-2"]),
    ({"type": "integer", "maximum": -100}, ["-100", "-101", "-99999"], ["-99", "0", "100"]),
    ({"type": "integer", "multipleOf": 7}, ["0", "7", "-14", "7777777777"], ["1", "8", "-1"]),
    ({"type": "integer", "multipleOf": 5, "minimum": 3, "maximum": 21}, ["5", "10", "20"], ["0", "25", "7"]),
    ({"type": "number"}, ["0", "-1.5", "2e9", "1E-5", "0.25"], ["1.", ".5", "+1", "01", "1e999"]),
    ({"type": "number", "minimum": 0, "maximum": 1}, ["0", "0.5", "1", "1.0", "0.000"], ["1.1", "-0.1", "1.01", "2"]),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10}, ["0.1", "9.999", "5", "0.000000001"], ["0", "0.0", "10", "10.0", "-1"]),
    ({"type": "number", "minimum": -3, "exclusiveMaximum": -1}, ["-3", "-1.5", "-3.0", "-2"], ["-1", "-1.0", "-3.1", "-0.5", "0"]),
    ({"type": "number", "minimum": -2, "maximum": 2}, ["-2", "-0.5", "0", "1.75", "2.00"], ["-2.5", "2.1", "3"]),
    ({"type": "number", "minimum": 0.25, "exclusiveMaximum": 1.5}, ["0.25", "0.3", "1", "1.499", "1.0"], ["0.2", "0.249", "1.5", "1.50", "2", "0"]),
    ({"type": "number", "exclusiveMinimum": -0.5, "maximum": 0.01}, ["-0.49", "0", "0.01", "0.00"], ["-0.5", "-0.50", "0.011", "0.1", "-1"]),
    ({"type": "string", "pattern": "^\\d{3}-[A-F]+$"}, ['"123-AF"'], ['"123-"', '"1234-A"', '"x123-A"']),
    ({"type": "string", "pattern": "b+"}, ['"abba"', '"b"', '"\\n\\"b"'], ['"a"', '""']),
    ({"type": "string", "pattern": '^a"\\\\.$'}, ['"a\\"\\\\x"'], ['"a"x"']),
    ({"type": "string", "pattern": "^(a|b)$|^c"}, ['"a"', '"cx"'], ['"ax"', '"xc"']),
    ({"type": "string", "pattern": "^[a-z]{2,4}$", "minLength": 2, "maxLength": 4}, ['"ab"'], ['"a"']),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"\U0001f600\U0001f600"', '"\\ud83d\\ude00x"', '"\\n\\t"'], ['"a"', '"abcd"', '"\\ud83d\\ude00"']),
    ({"type": "string"}, ['""', '"\\u00e9\\/"'], ['"\\ud800"', '"\n"', '"\\x"', '"']),
    ({"type": "string", "format": "date"}, ['"2024-02-29"', '"2000-02-29"', '"1999-12-31"'], ['"1900-02-29"', '"2023-13-01"', '"2023-04-31"', '"0000-01-01"']),
    ({"type": "string", "format": "time"}, ['"23:59:59Z"', '"00:00:00.123+01:00"'], ['"24:00:00Z"', '"12:00:00"']),
    ({"type": "string", "format": "uuid"}, ['"2eb8aa08-aa98-11ea-b4aa-73b441d16380"'], ['"2eb8aa08aa9811eab4aa73b441d16380"']),
    ({"type": "string", "format": "uuid4"}, ['"2eb8aa08-aa98-41ea-b4aa-73b441d16380"'], ['"2eb8aa08-aa98-11ea-b4aa-73b441d16380"']),
    ({"type": "string", "format": "uuid5"}, ['"2eb8aa08-aa98-51ea-b4aa-73b441d16380"'], ['"2eb8aa08-aa98-41ea-b4aa-73b441d16380"']),
    ({"type": "string", "format": "json-pointer"}, ['""', '"/a~1b/0"', '"/"'], ['"a"', '"/a~2"', '"/a~"']),
    ({"type": "string", "format": "idn-email"}, ['"joe.bloggs@example.com"'], ['"joe"']),
    ({"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083}, ['"https://example.org/a?b=c#d"'], ['"example.org"']),
    ({"type": "string", "format": "file-path", "maxLength": 3}, ['"/a"'], ['"/abc"']),
    ({"type": "string", "format": "ipv4"}, ['"192.168.0.1"', '"255.255.255.255"'], ['"256.1.1.1"', '"1.2.3"', '"01.2.3.4"']),
    ({"type": "string", "format": "email"}, ['"joe.bloggs@example.com"'], ['"joe"', '"@example.com"', '"a..b@example.com"']),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 1}, ["[1]", '[1,"x"]', "[ 1 ]"], ["[]", '[1,"x",2]', '["x"]']),
    ({"type": "array", "prefixItems": [{"const": 1}], "items": {"type": "null"}, "maxItems": 3}, ["[]", "[1]", "[1,null,null]"], ["[1,null,null,null]", "[null]"]),
    ({"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}, "minItems": 2}, ["[[],[true]]"], ["[[]]", "[]", "[[1],[]]"]),
    ({"type": ["integer", "null"], "minimum": 3}, ["3", "null"], ["2", "true"]),
    ({"type": "string", "nullable": True}, ['"x"', "null"], ["1"]),
    ({"type": "integer", "enum": [1, "1", 2.0, 2.5, None]}, ["1", "2.0"], ['"1"', "2.5", "null"]),
    ({"enum": ["a", "ab"], "minLength": 2}, ['"ab"'], ['"a"']),
    ({"const": {"a": [1, 2], "b": "\u00e9"}}, ['{"a":[1,2],"b":"\u00e9"}'], ['{"a":[1,2]}']),
    ({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}], "not_known": 1}, [], []),
    ({"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": -10}]}, ["10", "-10"], ["0", "9"]),
    ({"$defs": {"p": {"type": "integer", "minimum": 0}}, "$ref": "#/$defs/p", "maximum": 9}, ["0", "9"], ["10", "-1"]),
    ({}, ["1", '{"a":[null,true,{"b":"c"}]}', "[]", '""'], ["", "nul", "{]"]),
    ({"type": "object"}, ["{}", '{"a":{"b":[1,2,{}]}}', '{"a":1, "b":2}'], ["[]", '{"a"}', "{a:1}", "{,}"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    return ask([{"schema": schema, "texts": good + bad, "samples": 10, "seed": 7} for schema, good, bad in CASES])


@pytest.mark.parametrize("i", range(len(CASES)))
def test_case(i: int, answers: list[dict[str, Any]]) -> None:
    schema, good, bad = CASES[i]
    if not good:
        assert not answers[i]["ok"] and "#/" in answers[i]["error"]
        return
    assert answers[i]["ok"], answers[i]
    fits = [fit == "yes" for fit in answers[i]["fits"]]
    wrong = [text for text, fit, wanted in zip(good + bad, fits, [True] * len(good) + [False] * len(bad), strict=True) if fit != wanted]
    assert not wrong, (schema, wrong)


def test_layouts(answers: list[dict[str, Any]]) -> None:
    """Random texts are valid, and are accepted again in the layouts that json writes."""
    lines = []
    for (schema, good, _), answer in zip(CASES, answers, strict=True):
        if not good:
            continue
        validator = Draft202012Validator({key: value for key, value in schema.items() if key != "nullable"})
        values = [json.loads(text) for text in answer["samples"]]
        if not schema.get("nullable"):
            assert all(validator.is_valid(value) for value in values), (schema, answer["samples"])
        if schema != OPEN and "const" not in schema:  # json.loads drops members of the same name; constants have one form
            texts = [compact(v) for v in values] + [json.dumps(v, ensure_ascii=False) for v in values]
            texts += [json.dumps(v, indent=2, ensure_ascii=False) for v in values] + [json.dumps(v) for v in values]
            plain = [text for text in texts if "e" not in text.lower() or '"' in text]  # floats come out with other digits
            lines.append({"schema": schema, "texts": plain})
    for line, answer in zip(lines, ask(lines), strict=True):
        refused = [text for text, fit in zip(line["texts"], answer["fits"], strict=True) if fit != "yes"]
        assert not refused, (line["schema"], refused)


# A schema, and what the refusal says.
REFUSED: list[tuple[Any, str]] = [
    ({"not": {}}, "#/not: is not supported"),
    ({"properties": {"a": {"items": [{}]}}}, "#/properties/a/items: must be a schema"),
    ({"type": "object", "properties": {"x": {"if": {}}}}, "#/properties/x/if"),
    ({"uniqueItems": True}, "#/uniqueItems"),
    ({"type": "number", "minimum": 1e-12}, "#/minimum"),
    ({"type": "number", "multipleOf": 0.01}, "#/multipleOf"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#/oneOf"),
    ({"type": "string", "format": "iri"}, '#/format: "iri" is not supported'),
    ({"type": "string", "pattern": "(a"}, "#/pattern"),
    ({"type": "string", "pattern": "^a+$", "maxLength": 3}, "#/maxLength"),
    ({"$ref": "other.json"}, "#/$ref"),
    ({"$ref": "#/a~2b"}, "does not exist"),
    ({"type": "strange"}, "#/type"),
    ({"required": "a"}, "#/required"),
    ({"minLength": -1}, "#/minLength"),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "no value fits"),
    ({"$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/a"}}, "required": ["b"]}}, "$ref": "#/$defs/a"}, "can never end"),
    ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "cannot be combined"),
    ({"properties": {"a": {"$id": "x"}}}, "#/properties/a/$id"),
    (5, "a schema must be an object or a boolean"),
    ({"anyOf": []}, "#/anyOf"),
    ({"enum": 1}, "#/enum"),
]


def test_refused() -> None:
    for (schema, words), answer in zip(REFUSED, ask([{"schema": schema} for schema, _ in REFUSED]), strict=True):
        assert not answer["ok"] and words in answer["error"], (schema, answer)


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str = Field(min_length=2, max_length=4)


class Owner(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")
    friends: list[Owner] = Field(default=[], max_length=2)
    when: datetime.datetime | None = None
    born: datetime.date
    key: uuid.UUID
    site: HttpUrl
    scores: dict[str, float]
    pair: tuple[int, str]
    share: float = Field(ge=0.5, lt=1.5)
    even: int = Field(gt=0, multiple_of=2, le=100)
    plate: str = Field(pattern=r"^[A-Z]{3}-\d+$")


def test_pydantic() -> None:
    """What programs send: the schema of a model, whose answers the model then reads."""
    answer = ask([{"schema": Owner.model_json_schema(), "samples": 20, "seed": 4}])[0]
    assert answer["ok"] and len(answer["samples"]) == 20, answer
    for text in answer["samples"]:
        Owner.model_validate_json(text)


def test_hostile_schemas_end_soon() -> None:
    deep: Any = {"type": "integer"}
    for _ in range(400):
        deep = {"type": "array", "items": deep}
    wide = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(3000)}}
    blow = {"$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2, "title": "x"} for i in range(40)}, "$ref": "#/$defs/d0"}
    blow["$defs"]["d40"] = {"type": "null"}
    double = {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}
    product = {"allOf": [{"anyOf": [{"minimum": i}, {"maximum": -i}]} for i in range(30)]}
    names = {"properties": {"x" * 5000: {}}, "additionalProperties": True}
    answers = ask([{"schema": schema} for schema in (deep, wide, blow, double, product, names)])
    assert [answer["ok"] for answer in answers] == [False, False, True, False, False, False], answers


def test_many_members() -> None:
    names = [f"member {i * 7 % 900} of many" for i in range(900)]
    optional = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}
    required = {**optional, "properties": {name: {"type": "null"} for name in names * 3}, "required": names}
    some, all_of = compact({names[3]: 1, names[400]: 2, names[899]: 3}), compact(dict.fromkeys(names))
    lines = [{"schema": optional, "texts": [some, "{}"], "samples": 3, "seed": 1}, {"schema": required, "texts": [all_of, some]}]
    answers = ask(lines)
    assert answers[0]["fits"] == ["yes", "yes"] and answers[1]["fits"] == ["yes", "no"]
    validator = Draft202012Validator(optional)
    assert len(answers[0]["samples"]) == 3 and all(validator.is_valid(json.loads(text)) for text in answers[0]["samples"])
