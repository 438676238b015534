"""Is the server there, ready, and does it serve a model? Asked before anything is measured."""

from __future__ import annotations

import http.client
import socket
from typing import Any

from .client import Client, describe_failure
from .options import Options
from .protocols import Protocol, error_text

HEALTH_TIMEOUT = 10.0  # seconds

START_HINTS = {
    "cllm": "start the server (cllm serve)",
    "ollama": "start the server (ollama serve)",
    "openai": "start the server",
}


class HealthError(Exception):
    """The server cannot be measured; the message names the cause and the remedy."""


def check_health(options: Options, protocol: Protocol) -> str | None:
    """Raise HealthError unless the server is ready; return the name of the model it will use, if it says."""
    client = Client(options.server_url, min(options.timeout, HEALTH_TIMEOUT), options.api_key)
    try:
        status, payload = client.get_json(protocol.health_path)
        _require_ready(options, protocol, status, payload)
        if options.server_type == "cllm":
            return options.model or _cllm_model(client)
    except (OSError, http.client.HTTPException) as exc:
        raise HealthError(_unreachable(options, exc, client.timeout)) from exc
    finally:
        client.close()
    model = options.model or protocol.first_model(payload)
    if model is None:
        raise HealthError(f"{options.server_url} lists no model: load one, or name it with --model")
    return model


def _unreachable(options: Options, exc: Exception, timeout: float) -> str:
    cause = describe_failure(exc, timeout)
    hint = START_HINTS[options.server_type]
    if isinstance(exc, socket.timeout):
        hint = "see whether the server is stuck or overloaded"
    return f"cannot reach {options.server_url}: {cause}. Remedy: {hint} or pass the right --server-url"


def _require_ready(options: Options, protocol: Protocol, status: int, payload: Any) -> None:
    where = f"GET {options.server_url}{protocol.health_path}"
    said = error_text(payload)
    if status in (401, 403):
        raise HealthError(f"{where} gave HTTP {status}. Remedy: pass the server's key with --api-key")
    if status == 404:
        raise HealthError(f"{where} gave HTTP 404. Remedy: check --server-url and --server-type; "
                          f"this server does not look like {options.server_type}")
    state = said or ""
    if options.server_type == "cllm" and isinstance(payload, dict):
        data = payload.get("data")
        state = str(data.get("status", "")) if isinstance(data, dict) else state
    if status == 503:
        raise HealthError(f"{where} gave HTTP 503 ({state or 'not ready'}). "
                          "Remedy: wait until the model is loaded, or restart the server if it is draining")
    if status != 200:
        raise HealthError(f"{where} gave HTTP {status} ({said or 'no message'}). "
                          "Remedy: read the server's log")
    if not isinstance(payload, dict):
        raise HealthError(f"{where} gave no JSON object. Remedy: check --server-url and --server-type")
    if options.server_type == "cllm" and state != "healthy":
        raise HealthError(f"{where} says status {state or 'nothing'!r} instead of 'healthy'. "
                          "Remedy: check --server-type, or read the server's log")


def _cllm_model(client: Client) -> str | None:
    """The model's name by GET /model/info; only for the record, so a server without it is fine."""
    try:
        status, payload = client.get_json("/model/info")
    except (OSError, http.client.HTTPException):
        return None
    data = payload.get("data") if status == 200 and isinstance(payload, dict) else None
    name = data.get("model_name") if isinstance(data, dict) else None
    return name if isinstance(name, str) else None
