"""What each kind of server is sent and how its reply is read.

A protocol knows paths, bodies and fields; it opens no connection and judges nothing. Token counts are only
ever the server's own: text is never re-tokenized and stream events are never counted as tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .options import Options


@dataclass
class Reply:
    """What a server said about one request; None where it said nothing."""

    tokens: int | None = None
    prompt_tokens: int | None = None
    finish_reason: str | None = None
    error: str | None = None
    text: str = ""  # its beginning only, to explain a failure
    done: bool = False  # a stream has had its last event


def _count(value: Any) -> int | None:
    """A token count, or None for anything that is not one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value[:120] if isinstance(value, str) else ""


def error_text(payload: Any) -> str | None:
    """The error message inside a reply of any of the three kinds, or None."""
    error = _dict(payload).get("error")
    if isinstance(error, dict):
        error = error.get("message") or json.dumps(error, ensure_ascii=False)
    return None if error is None else str(error)[:300]


class Protocol:
    """Base of the three protocols; the fields below are what they differ in."""

    health_path = "/health"
    sse = True  # streams are server-sent events; otherwise one JSON object a line

    def __init__(self, options: Options) -> None:
        self.options = options
        self.model = options.model

    def path(self) -> str:
        """Path of the generating request."""
        raise NotImplementedError

    def fields(self, prompt: str, max_tokens: int, seed: int | None) -> dict[str, Any]:
        """The request as a JSON object."""
        raise NotImplementedError

    def body(self, prompt: str, max_tokens: int, seed: int | None) -> bytes:
        """The request as bytes."""
        return json.dumps(self.fields(prompt, max_tokens, seed), ensure_ascii=False).encode()

    def read(self, payload: Any, reply: Reply) -> None:
        """Fill `reply` from a whole reply."""
        raise NotImplementedError

    def read_event(self, payload: Any, reply: Reply) -> bool:
        """Fill `reply` from one stream event; True when the event brings generated text."""
        raise NotImplementedError

    def first_model(self, payload: Any) -> str | None:
        """The first model named in the answer to the health check."""
        return None


class CllmProtocol(Protocol):
    """cLLM's native API."""

    def path(self) -> str:
        return "/generate_stream" if self.options.stream else "/generate"

    def fields(self, prompt: str, max_tokens: int, seed: int | None) -> dict[str, Any]:
        fields = {"prompt": prompt, "max_tokens": max_tokens, "temperature": self.options.temperature}
        return fields if seed is None else {**fields, "seed": seed}

    def _read_end(self, data: dict[str, Any], reply: Reply) -> None:
        reply.tokens = _count(data.get("generated_tokens"))
        reply.prompt_tokens = _count(data.get("prompt_tokens"))
        reply.finish_reason = data.get("finish_reason")

    def read(self, payload: Any, reply: Reply) -> None:
        if _dict(payload).get("success") is not True:
            reply.error = error_text(payload) or "the reply does not say success"
            return
        data = _dict(payload.get("data"))
        reply.text = _text(data.get("text"))
        self._read_end(data, reply)

    def read_event(self, payload: Any, reply: Reply) -> bool:
        data = _dict(payload)
        reply.error = reply.error or error_text(data)
        if data.get("done") is True:
            reply.done = True
            self._read_end(data, reply)
            return False
        return "token" in data


class OllamaProtocol(Protocol):
    """Ollama's /api/generate."""

    health_path = "/api/tags"
    sse = False

    def path(self) -> str:
        return "/api/generate"

    def fields(self, prompt: str, max_tokens: int, seed: int | None) -> dict[str, Any]:
        settings: dict[str, Any] = {"num_predict": max_tokens, "temperature": self.options.temperature}
        if seed is not None:
            settings["seed"] = seed
        return {"model": self.model, "prompt": prompt, "stream": self.options.stream, "options": settings}

    def read(self, payload: Any, reply: Reply) -> None:
        data = _dict(payload)
        reply.error = reply.error or error_text(data)
        reply.text = reply.text or _text(data.get("response"))
        if data.get("done") is True:
            reply.done = True
            reply.tokens = _count(data.get("eval_count"))
            reply.prompt_tokens = _count(data.get("prompt_eval_count"))
            reply.finish_reason = data.get("done_reason")

    def read_event(self, payload: Any, reply: Reply) -> bool:
        self.read(payload, reply)
        data = _dict(payload)
        return bool(data.get("response") or data.get("thinking"))

    def first_model(self, payload: Any) -> str | None:
        models = _dict(payload).get("models")
        return _dict(models[0]).get("name") if isinstance(models, list) and models else None


class OpenAIProtocol(Protocol):
    """Any server with OpenAI's chat or text completions."""

    health_path = "/v1/models"

    def path(self) -> str:
        return "/v1/chat/completions" if self.options.endpoint == "chat" else "/v1/completions"

    def fields(self, prompt: str, max_tokens: int, seed: int | None) -> dict[str, Any]:
        fields: dict[str, Any] = {"model": self.model, "max_tokens": max_tokens,
                                  "temperature": self.options.temperature}
        if self.options.endpoint == "chat":
            fields["messages"] = [{"role": "user", "content": prompt}]
        else:
            fields["prompt"] = prompt
        if seed is not None:
            fields["seed"] = seed
        if self.options.stream:
            fields["stream"] = True
            fields["stream_options"] = {"include_usage": True}
        return fields

    def read(self, payload: Any, reply: Reply) -> None:
        """Whole replies and stream events alike: both carry `choices`, `usage` and perhaps `error`."""
        data = _dict(payload)
        reply.error = reply.error or error_text(data)
        usage = _dict(data.get("usage"))
        if usage:
            reply.tokens = _count(usage.get("completion_tokens"))
            reply.prompt_tokens = _count(usage.get("prompt_tokens"))
        choices = data.get("choices")
        choice = _dict(choices[0]) if isinstance(choices, list) and choices else {}
        reply.finish_reason = choice.get("finish_reason") or reply.finish_reason
        part = _dict(choice.get("message") or choice.get("delta"))
        reply.text = reply.text or _text(part.get("content") or choice.get("text"))

    def read_event(self, payload: Any, reply: Reply) -> bool:
        self.read(payload, reply)
        choices = _dict(payload).get("choices")
        choice = _dict(choices[0]) if isinstance(choices, list) and choices else {}
        delta = _dict(choice.get("delta"))
        return bool(choice.get("text") or delta.get("content") or delta.get("reasoning_content"))

    def first_model(self, payload: Any) -> str | None:
        models = _dict(payload).get("data")
        return _dict(models[0]).get("id") if isinstance(models, list) and models else None


def make_protocol(options: Options) -> Protocol:
    """The protocol for `options.server_type`."""
    kinds = {"cllm": CllmProtocol, "ollama": OllamaProtocol, "openai": OpenAIProtocol}
    return kinds[options.server_type](options)
