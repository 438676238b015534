"""The chat template engine against Python's Jinja2, set up as transformers' apply_chat_template does.

    pytest tests/chat/test_jinja_equal.py

CLLM names the binary (default build/release/cllm). Templates come from tests/chat/templates, from
every models/*.gguf that carries one, and from the files in CLLM_TEMPLATES (separated by ':'; a
tokenizer_config.json or a Jinja file).
"""

import datetime
import functools
import json
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, Template, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment
from jinja_conversations import conversations

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLLM = os.environ.get("CLLM", str(ROOT / "build/release/cllm"))
SNIPPET_VARS: dict[str, Any] = {
    "user": {"name": "Ann", "age": 41, "langs": ["de", "fr"]},
    "odd": {"items": "an item", "x": 1},
    "nums": [1, 2, 3, 4, 5],
    "people": [
        {"name": "Ann", "age": 41, "admin": True, "tags": ["x", "y"]},
        {"name": "bob", "age": 17, "admin": False, "tags": ["z"], "nick": "B"},
        {"name": "Cy", "age": 63, "admin": True, "tags": []},
    ],
}
Answer = tuple[bool, str]


class Generation(Extension):
    """{% generation %} … {% endgeneration %}: the body as it is."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.CallBlock:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


def tojson(x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message: str) -> None:
    raise TemplateError(message)


@functools.cache
def environment(kind: type[SandboxedEnvironment]) -> Environment:
    env = kind(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return env


@functools.cache
def compiled(template: str, kind: type[SandboxedEnvironment]) -> Template:
    return environment(kind).from_string(template)


def original(template: str, variables: dict[str, Any], kind: type[SandboxedEnvironment]) -> Answer:
    try:
        return True, compiled(template, kind).render(**variables)
    except Exception as e:  # noqa: BLE001 (whatever Python raises, the engine must refuse too)
        return False, f"{type(e).__name__}: {e}"


def ours(cases: list[tuple[str, dict[str, Any]]]) -> list[Answer]:
    lines = "".join(json.dumps({"template": t, "vars": v}) + "\n" for t, v in cases)
    run = subprocess.run([CLLM, "template", "--batch"], input=lines.encode(), capture_output=True, check=True)
    answers = [json.loads(line) for line in run.stdout.decode().split("\n") if line]
    return [(a["ok"], a["text"] if a["ok"] else a["error"]) for a in answers]


def check(cases: dict[str, tuple[str, dict[str, Any]]], kind: type[SandboxedEnvironment] = ImmutableSandboxedEnvironment) -> None:
    answers = ours(list(cases.values()))
    assert len(answers) == len(cases)
    wrong = []
    for (name, (template, variables)), (ok, text) in zip(cases.items(), answers, strict=True):
        want_ok, want = original(template, variables, kind)
        if ok != want_ok or (ok and text != want):
            wrong.append(f"--- {name}\n{template if len(template) < 400 else ''}\nJinja2 {want_ok} {want!r}\nours   {ok} {text!r}")
    assert not wrong, f"{len(wrong)} of {len(cases)} differ\n" + "\n".join(wrong[:20])


def snippets(name: str) -> list[str]:
    lines = (HERE / name).read_text(encoding="utf-8").split("\n")
    return [
        line.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")
        for line in lines
        if line and not line.startswith("# ")
    ]


def gguf_template(path: Path) -> str | None:
    """The string behind the key tokenizer.chat_template, found without reading the whole format."""
    with path.open("rb") as f:
        head = f.read(64 << 20)
    at = head.find(b"tokenizer.chat_template" + struct.pack("<I", 8))
    if at < 0:
        return None
    at += len(b"tokenizer.chat_template") + 4
    (size,) = struct.unpack_from("<Q", head, at)
    return head[at + 8 : at + 8 + size].decode()


@functools.cache
def templates() -> dict[str, str]:
    found = {p.name: p.read_text(encoding="utf-8") for p in sorted((HERE / "templates").glob("*.jinja"))}
    for path in sorted((ROOT / "models").glob("*.gguf")):
        source = gguf_template(path)
        if source is not None:
            found[path.name] = source
    for name in filter(None, os.environ.get("CLLM_TEMPLATES", "").split(":")):
        text = Path(name).read_text(encoding="utf-8")
        found[name] = json.loads(text)["chat_template"] if name.endswith(".json") else text
    return found


@pytest.mark.parametrize("name", templates())
def test_conversations(name: str) -> None:
    source = templates()[name]
    check({f"{name}: {key}": (source, variables) for key, variables in conversations().items()})


def test_most_conversations_render() -> None:
    """Equal failures prove little: each template must succeed on a good part of the conversations."""
    for name, source in templates().items():
        answers = ours([(source, v) for v in conversations().values()])
        assert sum(ok for ok, _ in answers) > len(answers) / 4, name


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_snippets() -> None:
    check({f"line {i}": (s, SNIPPET_VARS) for i, s in enumerate(snippets("jinja_snippets.txt"))})


def test_changes() -> None:
    check({f"line {i}": (s, SNIPPET_VARS) for i, s in enumerate(snippets("jinja_changes.txt"))}, SandboxedEnvironment)


def test_whitespace_control() -> None:
    """All signs on all kinds of tags between all kinds of white space."""
    tags = {"if": "{%{a} if true {b}%}", "var": "{{{a} 1 {b}}}", "comment": "{#{a} c {b}#}", "raw": "{%{a} raw {b}%}"}
    ends = {"if": "{%{a} endif {b}%}", "raw": "{%{a} endraw {b}%}"}
    cases = {}
    for kind, tag in tags.items():
        for a in ("", "-", "+"):
            for b in ("", "-", "+"):
                for left in ("", "x", "\n", " \n\t ", "x \n", "x\n  ", "\n\n "):
                    for right in ("", "y", "\n", "\n\n y", "  \n y", " y"):
                        if kind == "raw" and b == "+":
                            continue
                        mark = tag.replace("{a}", a).replace("{b}", b)
                        end = ends.get(kind, "").replace("{a}", a).replace("{b}", b)
                        text = left + mark + right + end + left + right
                        cases[repr(text)] = (text, {})
    check(cases)
