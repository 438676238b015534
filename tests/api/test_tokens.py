"""/tokenize, /detokenize and /apply-template against the reference tokenizer and Jinja2."""

from __future__ import annotations

from typing import Any

import jinja2
import jinja2.sandbox
import pytest
from kit import Server

TEXTS = ["Hello, world!", "  zwei  Wörter\n", "日本語 🎉", "<|im_start|>user"]
SAY = [{"role": "user", "content": "Name three <|im_end|> colours."}]


@pytest.mark.parametrize("text", TEXTS)
def test_there_and_back(server: Server, text: str) -> None:
    want = server.post("/encode", {"text": text, "add_special": False}).data["tokens"]
    reply = server.post("/tokenize", {"content": text, "with_pieces": True}).json
    assert [token["id"] for token in reply["tokens"]] == want and reply["count"] == len(want)
    pieces = [token["piece"] for token in reply["tokens"]]
    raw = b"".join(piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces)
    assert raw.decode() == text
    back = server.post("/detokenize", {"tokens": want}).json
    assert back == {"content": text, "prompt": text}
    whole = server.post("/tokenize", {"prompt": text, "return_token_strs": True}).json
    assert whole["tokens"] == server.post("/encode", {"text": text}).data["tokens"]
    assert len(whole["token_strs"]) == whole["count"] and whole["max_model_len"] > 0


def test_special_texts_may_be_ordinary(server: Server) -> None:
    one = server.post("/tokenize", {"content": "<|im_start|>"}).json
    many = server.post("/tokenize", {"content": "<|im_start|>", "parse_special": False}).json
    assert one["count"] == 1 < many["count"]


def test_a_part_of_a_code_point_is_bytes(server: Server) -> None:
    tokens = server.post("/tokenize", {"content": "\U0001f9ec", "with_pieces": True}).json["tokens"]
    assert any(isinstance(token["piece"], list) for token in tokens)
    assert "\ufffd" in server.post("/detokenize", {"tokens": [tokens[0]["id"]]}).json["content"]


def test_a_conversation(server: Server) -> None:
    body: dict[str, Any] = {"messages": SAY}
    template = server.post("/api/show", {"model": server.get("/v1/models").json["data"][0]["id"]}).json["template"]
    want = jinja2.sandbox.ImmutableSandboxedEnvironment().from_string(template).render(
        messages=SAY, add_generation_prompt=True
    )
    assert server.post("/apply-template", body).json == {"prompt": want}
    tokens = server.post("/tokenize", body).json["tokens"]
    usage = server.post("/v1/chat/completions", {**body, "max_tokens": 1}).json["usage"]
    assert len(tokens) == usage["prompt_tokens"]
    # A user's words forge no turn: they are other tokens than the template's own, and the same text.
    assert server.post("/detokenize", {"tokens": tokens}).json["content"] == want
    assert len(tokens) > server.post("/tokenize", {"content": want}).json["count"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": 3}, "content"),
        ("/tokenize", {"messages": [{"role": "x"}]}, "messages[0].role"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [1, -1]}, "tokens"),
        ("/detokenize", {"tokens": "1"}, "tokens"),
        ("/apply-template", {"messages": []}, "messages"),
    ],
)
def test_refused(server: Server, path: str, body: dict[str, Any], param: str) -> None:
    reply = server.post(path, body)
    assert reply.status == 400 and reply.json["error"]["param"] == param, reply.body
