"""A front for ik_llama.cpp, whose package has no server: serve_ik.py MODEL PORT THREADS PARALLEL CONTEXT.

Just enough of /v1/completions to measure the engine: every step decodes one token of each running request, and the
prompts of new ones, in one llama_decode. Tokens are the most likely ones; temperature and the like are not heeded, and
end tokens do not end a reply. HTTP threads hand a Request to the only thread that touches the engine and read its
tokens from a queue.
"""

from __future__ import annotations

import ctypes
import json
import queue
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from ik_llama_cpp import _ctypes_api as api


@dataclass
class Request:
    """One completion; `pending` is what the next step feeds, `out` what has been generated (None: refused)."""

    pending: list[int]
    max_tokens: int
    position: int = 0
    generated: int = 0
    out: queue.Queue[int | None] = field(default_factory=queue.Queue)


class Engine:
    """The model, its context, and the loop over the running requests."""

    def __init__(self, model: str, threads: int, parallel: int, context: int) -> None:
        api.llama_backend_init()
        loading = api.llama_model_default_params()
        loading.repack_tensors, loading.use_mmap = True, False  # a third more tokens/s at 8 clients
        self.model = api.llama_model_load_from_file(model.encode(), loading)
        if not self.model:
            raise SystemExit(f"cannot load {model}")
        params = api.llama_context_default_params()
        params.n_ctx = params.n_batch = context
        params.n_seq_max = parallel
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn = False  # this package turns it off too: without AVX-VNNI in the build it aborts
        self.context = api.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit("cannot make a context")
        self.n_vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.forget = api._lib.llama_kv_cache_seq_rm
        self.forget.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]
        self.forget.restype = ctypes.c_bool
        self.batch = api.llama_batch_init(context, 0, 1)
        self.room = context
        self.slots: list[Request | None] = [None] * parallel
        self.waiting: queue.Queue[Request] = queue.Queue()

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a raw prompt."""
        data = text.encode()
        ids = (api.llama_token * (len(data) + 8))()
        count = api.llama_tokenize(self.model, data, len(data), ids, len(ids), True, True)
        return list(ids[:count])

    def piece(self, token: int) -> str:
        """The text of one token."""
        room = ctypes.create_string_buffer(256)
        size = api.llama_token_to_piece(self.model, token, room, len(room), 0, True)
        return room.raw[:max(size, 0)].decode("utf-8", "replace")

    def admit(self) -> None:
        """Give free slots to waiting requests; waits for one when nothing runs."""
        for index, running in enumerate(self.slots):
            if running is not None:
                continue
            try:
                self.slots[index] = self.waiting.get(block=not any(self.slots))
            except queue.Empty:
                return

    def step(self) -> None:
        """One llama_decode over all running requests, and one token for each of them."""
        batch, count, ends = self.batch, 0, []
        for index, request in enumerate(self.slots):
            if request is None:
                continue
            for token in request.pending:
                batch.token[count], batch.pos[count] = token, request.position
                batch.n_seq_id[count], batch.seq_id[count][0], batch.logits[count] = 1, index, 0
                request.position += 1
                count += 1
            batch.logits[count - 1] = 1
            ends.append((index, request, count - 1))
        batch.n_tokens = count
        failed = api.llama_decode(self.context, batch) != 0
        for index, request, row in ends:
            self.take(index, request, None if failed else row)

    def take(self, index: int, request: Request, row: int | None) -> None:
        """The token that row `row` of the last step gives a request; None ends it."""
        if row is not None:
            logits = np.ctypeslib.as_array(api.llama_get_logits_ith(self.context, row), (self.n_vocab,))
            token = int(logits.argmax())
            request.pending = [token]
            request.generated += 1
            request.out.put(token)
        if row is None or request.generated >= request.max_tokens:
            if row is None:
                request.out.put(None)
            self.forget(self.context, index, -1, -1)
            self.slots[index] = None

    def run(self) -> None:
        """For ever."""
        while True:
            self.admit()
            self.step()


class Handler(BaseHTTPRequestHandler):
    """GET /health, GET /v1/models, POST /v1/completions."""

    engine: Engine
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one write

    def log_message(self, *_args: Any) -> None:
        """Stay silent."""

    def reply(self, status: int, payload: Any) -> None:
        """A whole JSON reply."""
        body = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Health and the only model: listening means loaded."""
        self.reply(200, {"data": [{"id": "ik_llama.cpp"}]})

    def do_POST(self) -> None:
        """A completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = self.engine.tokenize(body["prompt"])
        limit = int(body.get("max_tokens", 16))
        if len(prompt) + limit > self.engine.room // len(self.engine.slots):
            return self.reply(400, {"error": {"message": "longer than the context of a request"}})
        usage = {"prompt_tokens": len(prompt), "completion_tokens": limit}
        request = Request(prompt, limit)
        self.engine.waiting.put(request)
        if body.get("stream"):
            return self.stream(request, usage)
        text = ""
        for _ in range(limit):
            token = request.out.get()
            if token is None:
                return self.reply(500, {"error": {"message": "llama_decode failed"}})
            text += self.engine.piece(token)
        self.reply(200, {"choices": [{"text": text, "finish_reason": "length"}], "usage": usage})

    def event(self, payload: Any) -> None:
        """One event of a stream, at once."""
        data = b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def stream(self, request: Request, usage: dict[str, int]) -> None:
        """The tokens as they come."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(request.max_tokens):
            token = request.out.get()
            if token is None:
                self.event({"error": {"message": "llama_decode failed"}})
                break
            self.event({"choices": [{"text": self.engine.piece(token), "finish_reason": None}]})
        else:
            self.event({"choices": [{"text": "", "finish_reason": "length"}], "usage": usage})
        self.event(b"[DONE]")
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    """Many clients connect at once."""

    daemon_threads = True
    request_queue_size = 256


def main() -> None:
    """Load, then listen."""
    model, port, threads, parallel, context = sys.argv[1:]
    Handler.engine = Engine(model, int(threads), int(parallel), int(context))
    threading.Thread(target=Handler.engine.run, daemon=True).start()
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
