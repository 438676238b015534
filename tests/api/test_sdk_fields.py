"""Each field that the official clients' own types have is honoured, refused by its name, or ignored without effect.

A newer client with a field more fails here until somebody has decided what becomes of it.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any

import anthropic.types.beta
import ollama._types
import openai.types
import pytest
from kit import Server

SAY = [{"role": "user", "content": "Name three colours."}]
CHAT_OPTIONS = {
    "logit_bias", "logprobs", "max_tokens", "presence_penalty", "frequency_penalty", "seed", "stop", "stream", "stream_options",
    "temperature", "top_p", "n", "model",
}  # fmt: skip


@dataclass
class Route:
    path: str
    fields: set[str]
    body: dict[str, Any]
    honoured: set[str]
    refused: dict[str, Any] = field(default_factory=dict)  # with a value that asks for something
    ignored: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.path


def typed(*kinds: type) -> set[str]:
    return {name for kind in kinds for name in typing.get_type_hints(kind)}


def modelled(kind: Any) -> set[str]:
    return set(kind.model_fields)


CACHE = {"prompt_cache_key": "k", "prompt_cache_options": {"mode": "explicit"}, "prompt_cache_retention": "24h"}
BOOKS = {"metadata": {"a": "b"}, "safety_identifier": "u", "service_tier": "flex", "store": True, "user": "u"}
KEEP = {"keep_alive": "5m"}

ROUTES = [
    Route(
        "/v1/chat/completions",
        typed(*typing.get_args(openai.types.chat.completion_create_params.CompletionCreateParams)),
        {"messages": SAY, "max_tokens": 5, "temperature": 0},
        honoured=CHAT_OPTIONS | {
            "messages", "max_completion_tokens", "function_call", "functions", "tools", "tool_choice", "parallel_tool_calls",
            "reasoning_effort", "response_format", "top_logprobs",
        },
        refused={"audio": {"voice": "a", "format": "wav"}, "modalities": ["text", "audio"], "moderation": {"model": "m"}, "web_search_options": {}},
        ignored={**CACHE, **BOOKS, "prediction": {"type": "content", "content": "Red, green"}, "verbosity": "low"},
    ),
    Route(
        "/v1/completions",
        typed(*typing.get_args(openai.types.completion_create_params.CompletionCreateParams)),
        {"prompt": "The sky", "max_tokens": 5, "temperature": 0},
        honoured=CHAT_OPTIONS | {"prompt", "echo", "suffix"},
        refused={"best_of": 3},
        ignored={"user": "u"},
    ),
    Route(
        "/v1/responses",
        typed(*typing.get_args(openai.types.responses.response_create_params.ResponseCreateParams)),
        {"input": SAY, "max_output_tokens": 5, "temperature": 0},
        honoured={
            "input", "instructions", "max_output_tokens", "model", "parallel_tool_calls", "reasoning", "stream", "temperature", "text",
            "tool_choice", "tools", "top_p",
        },
        refused={
            "background": True, "conversation": "c", "include": ["message.output_text.logprobs"], "moderation": {"model": "m"},
            "previous_response_id": "resp_1", "prompt": {"id": "p"}, "top_logprobs": 2,
        },
        ignored={
            **CACHE, **BOOKS, "access_programs": {}, "background_options": {}, "context_management": [{"type": "compaction"}], "image": {},
            "max_tool_calls": 3, "stream_options": {"include_obfuscation": False}, "truncation": "auto",
        },
    ),
    Route(
        "/v1/embeddings",
        typed(openai.types.embedding_create_params.EmbeddingCreateParams),
        {"input": "The sky"},
        honoured={"input", "model", "encoding_format"},
        refused={"dimensions": 3},
        ignored={"user": "u"},
    ),
    Route(
        "/v1/messages",
        typed(
            *typing.get_args(anthropic.types.message_create_params.MessageCreateParams),
            *typing.get_args(anthropic.types.beta.message_create_params.MessageCreateParams),
        ),
        {"messages": SAY, "max_tokens": 5, "temperature": 0},
        honoured={
            "max_tokens", "messages", "model", "output_config", "output_format", "stop_sequences", "stream", "system", "thinking", "tool_choice", "tools",
        },
        refused={
            "container": "c", "mcp_servers": [{"type": "url"}], "compaction": {"type": "summarize"},
            "thread": {"type": "continue", "previous_message_id": "m"},
        },
        ignored={
            "betas": ["b"], "billing_policy": {}, "context_management": {"edits": []}, "fallback_credit_token": "f", "fallbacks": "default",
            "cache_control": {"type": "ephemeral"}, "diagnostics": {}, "inference_geo": "eu", "metadata": {"user_id": "u"},
            "service_tier": "auto", "speed": "fast", "user_profile_id": "u", "workspace_id": "w",
        },
    ),
    Route(
        "/api/chat",
        modelled(ollama._types.ChatRequest),
        {"messages": SAY, "stream": False, "options": {"temperature": 0, "num_predict": 5}},
        honoured={"model", "messages", "stream", "format", "options", "tools", "think", "logprobs", "top_logprobs"},
        ignored=KEEP,
    ),
    Route(
        "/api/generate",
        modelled(ollama._types.GenerateRequest),
        {"prompt": "Hello", "stream": False, "options": {"temperature": 0, "num_predict": 5}},
        honoured={"model", "prompt", "suffix", "stream", "format", "options", "system", "raw", "think", "logprobs", "top_logprobs"},
        refused={"template": "{{ .Prompt }}", "context": [1, 2], "images": ["aGk="]},
        ignored={**KEEP, "width": 8, "height": 8, "steps": 2},
    ),
    Route(
        "/api/embed",
        modelled(ollama._types.EmbedRequest),
        {"input": "The sky"},
        honoured={"model", "input", "truncate"},
        refused={"dimensions": 3},
        ignored={**KEEP, "options": {"num_ctx": 99}},
    ),
]  # fmt: skip
OPTIONS = Route(
    "/api/chat",
    modelled(ollama._types.Options),
    {},
    honoured={"seed", "num_predict", "top_k", "top_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty", "stop"},
    ignored={
        "numa": True, "num_ctx": 99, "num_batch": 9, "num_gpu": 9, "main_gpu": 1, "low_vram": True, "f16_kv": True, "logits_all": True,
        "vocab_only": True, "use_mmap": False, "use_mlock": True, "embedding_only": True, "num_thread": 1, "num_keep": 3, "tfs_z": 0.5,
        "typical_p": 0.5, "repeat_last_n": 3, "mirostat": 1, "mirostat_tau": 2, "mirostat_eta": 0.2, "penalize_newline": False,
    },
)  # fmt: skip
NOT_IN_ITS_TYPES = {"/v1/messages": {"output_format"}}  # of older betas, and of other languages' clients


@pytest.mark.parametrize("route", [*ROUTES, OPTIONS], ids=str)
def test_every_field_has_been_decided(route: Route) -> None:
    decided = [*route.honoured, *route.refused, *route.ignored]
    assert set(decided) - NOT_IN_ITS_TYPES.get(route.path, set()) == route.fields
    assert len(decided) == len(set(decided))


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_refused(server: Server, route: Route) -> None:
    for name, value in route.refused.items():
        reply = server.post(route.path, {**route.body, name: value})
        assert reply.status == 400 and name in reply.body.decode(), (name, reply.body)
        assert server.post(route.path, {**route.body, name: None}).status == 200, name


def said(value: Any) -> Any:
    """What an answer says, without ids, times and the echo of the request."""
    return {name: value[name] for name in ("message", "response", "embeddings", "data", "content") if name in value} or [
        (one.get("message") or one.get("text") or one["content"])
        for one in value.get("choices") or [{"content": item["content"][0]["text"]} for item in value["output"]]
    ]


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_ignored(server: Server, route: Route) -> None:
    plain = server.post(route.path, route.body)
    reply = server.post(route.path, {**route.body, **route.ignored})
    assert reply.status == 200, reply.body
    assert said(reply.json) == said(plain.json) and said(plain.json)


def test_ignored_options_of_ollama(server: Server) -> None:
    body: dict[str, Any] = {"messages": SAY, "stream": False, "options": {"temperature": 0, "num_predict": 5}}
    plain = server.post("/api/chat", body).json
    reply = server.post("/api/chat", {**body, "options": {**body["options"], **OPTIONS.ignored}})
    assert reply.status == 200 and said(reply.json) == said(plain), reply.body
