"""A tiny HTTP server that speaks as cLLM, Ollama or OpenAI do, well or badly, for the tests of the tools."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROMPT_TOKENS = 7


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the usual 5 resets connections when many clients come at once

    def handle_error(self, *_args: Any) -> None:
        """Stay silent when a client has hung up."""


class FakeServer:
    """Use as a context manager. `behave(i)` names what the i-th measured request meets:

    good, http500, error200 (an error text with status 200), short (too few tokens, finish "length"),
    stop (too few, ended by the model), long (too many), uncounted (no token count), garbage (no JSON),
    drop (the connection is closed), cut (a stream without its last event), slow (late by `delay`).
    """

    def __init__(self, kind: str, behave: Callable[[int], str] = lambda _index: "good",
                 health: int = 200, delay: float = 0.0) -> None:
        self.kind, self.behave, self.health, self.delay = kind, behave, health, delay
        self.requests: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        server = self

        class Handler(_Handler):
            fake = server

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.over.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_args: Any) -> None:
        """Stay silent."""

    def setup(self) -> None:
        super().setup()
        with self.fake.lock:
            self.fake.connections += 1

    def _reply(self, status: int, payload: Any) -> None:
        body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.fake.health != 200:
            state = {"success": True, "data": {"status": "loading", "model_loaded": False}}
            return self._reply(self.fake.health, state)
        answers = {
            ("cllm", "/health"): {"success": True, "data": {"status": "healthy", "model_loaded": True}},
            ("cllm", "/model/info"): {"success": True, "data": {"model_name": "fake-cllm"}},
            ("ollama", "/api/tags"): {"models": [{"name": "fake-ollama"}]},
            ("openai", "/v1/models"): {"object": "list", "data": [{"id": "fake-openai"}]},
        }
        answer = answers.get((self.fake.kind, self.path))
        self._reply(200 if answer else 404, answer or {"error": "not found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.fake.lock:
            index = len(self.fake.requests)
            self.fake.requests.append((self.path, body, dict(self.headers)))
        mode = self.fake.behave(index)
        asked = body.get("max_tokens") or body["options"]["num_predict"]
        wrong = {"short": asked - 1, "stop": asked - 1, "long": asked + 1, "uncounted": None}
        tokens = wrong.get(mode, asked)
        finish = "stop" if mode == "stop" else "length"
        if mode == "slow":
            self.fake.over.wait(self.fake.delay)
        if mode == "drop":
            self.close_connection = True
        elif mode == "http500":
            error = {"message": "boom"} if self.fake.kind == "openai" else "boom"
            self._reply(500, {"success": False, "error": error})
        elif mode == "garbage":
            self._reply(200, b"<html>")
        elif mode == "error200":
            self._reply(200, self._error200())
        elif self.path == "/generate_stream" or body.get("stream") is True:
            self._stream(mode, tokens, finish)
        else:
            self._reply(200, self._whole(tokens, finish))

    def _error200(self) -> Any:
        """What bad servers do: the error as the generated text."""
        if self.fake.kind == "cllm":
            return {"success": True, "data": {"text": "Error: no slot", "generated_tokens": 0}}
        return {"error": "no slot"}

    def _whole(self, tokens: int | None, finish: str) -> Any:
        if self.fake.kind == "cllm":
            data = {"id": "0" * 32, "text": "文本", "generated_tokens": tokens, "finish_reason": finish,
                    "prompt_tokens": PROMPT_TOKENS}
            return {"success": True, "data": data}
        if self.fake.kind == "ollama":
            return {"response": "文本", "done": True, "done_reason": finish, "eval_count": tokens,
                    "prompt_eval_count": PROMPT_TOKENS}
        choice = {"index": 0, "finish_reason": finish}
        choice.update({"text": "文本"} if "chat" not in self.path else {"message": {"content": "文本"}})
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens}
        return {"choices": [choice], "usage": usage}

    def _stream(self, mode: str, tokens: int | None, finish: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sse = self.fake.kind != "ollama"
        for event in self._events(tokens, finish, mode == "cut"):
            line = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
            data = (f"data: {line}\n\n" if sse else f"{line}\n").encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            time.sleep(0.002)
        self.wfile.write(b"0\r\n\r\n")

    def _events(self, tokens: int | None, finish: str, cut: bool) -> list[Any]:
        n = tokens or 1
        if self.fake.kind == "cllm":
            events: list[Any] = [{"id": "a", "token": "字", "done": False}] * n
            end = {"id": "a", "token": "", "done": True, "generated_tokens": tokens, "finish_reason": finish,
                   "prompt_tokens": PROMPT_TOKENS}
            return events if cut else [*events, end]
        if self.fake.kind == "ollama":
            events = [{"response": "字", "done": False}] * n
            return events if cut else [*events, self._whole(tokens, finish) | {"response": ""}]
        chat = "chat" in self.path
        events = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}] if chat else []
        events += [{"choices": [{"delta": {"content": "字"}} if chat else {"text": "字"}]}] * n
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens}
        last = {"choices": [{"delta": {}, "finish_reason": finish}]}
        end = [last, {"choices": [], "usage": usage}, "[DONE]"]
        return events if cut else events + end
