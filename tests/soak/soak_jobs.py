"""What is asked: a fixed table of requests of every route and shape, and what of an answer must be the same each time."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from soak_client import Answer

SENTENCES = ["The sea is", "Once upon a time", "\u4f60\u597d\uff0c\u4e16\u754c", "def main():", "Q: Why?\nA:", "1 2 3 4", "Dear Sir", "Tea or",
             "Gr\u00fc\u00dfe aus", "\U0001f600 is", "In 1987 there were", "SELECT * FROM"]  # fmt: skip
ROUTES = ["/generate", "/generate_stream", "/v1/completions", "/v1/chat/completions"]


@dataclass(frozen=True)
class Job:
    path: str
    body: dict[str, Any]

    @property
    def streamed(self) -> bool:
        return self.path == "/generate_stream" or bool(self.body.get("stream"))


@dataclass(frozen=True)
class Outcome:
    """The part of an answer that the promise is about."""

    text: str
    finish: str
    n_generated: int


def _sampling(rng: random.Random, i: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"temperature": 0} if i % 3 == 0 else {"temperature": 1.1, "top_p": 0.95, "seed": i}
    if i % 5 == 1:
        fields["repetition_penalty"] = 1.2
    if i % 7 == 2:
        fields["logit_bias"] = {str(rng.randrange(1000)): 5, "11": -100}
    if i % 4 == 3:
        fields["stop"] = [".", "\n"]
    if i % 6 == 5:
        fields["cache_salt"] = f"salt {i % 2}"
    return fields


def make_jobs(n: int, most_tokens: int, seed: int = 1) -> list[Job]:
    """The same table for the same arguments; one prompt in four is long, and long ones begin alike."""
    rng = random.Random(seed)
    shared = " ".join(rng.choice(SENTENCES) for _ in range(60))
    jobs: list[Job] = []
    for i in range(n):
        path = ROUTES[i % len(ROUTES)]
        prompt = (shared + " " if i % 8 in (1, 6) else "") + SENTENCES[i % len(SENTENCES)] + " and so" * rng.randrange(12)
        body: dict[str, Any] = {"max_tokens": rng.randint(1, most_tokens), **_sampling(rng, i)}
        if path == "/v1/chat/completions":
            body["messages"] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
        else:
            body["prompt"] = prompt
        if path.startswith("/v1/") and rng.random() < 0.5:
            body.update(stream=True, stream_options={"include_usage": True})
        jobs.append(Job(path, body))
    return jobs


def _events(answer: Answer) -> list[str]:
    """The data of each event, every one valid UTF-8 by itself."""
    return [part.removeprefix(b"data: ").decode() for part in answer.body.split(b"\n\n") if part.startswith(b"data: ")]


def _native_stream(answer: Answer) -> Outcome:
    events = [json.loads(text) for text in _events(answer)]
    last = events[-1]
    if not last["done"] or "error" in last:
        raise ValueError(f"the stream ends with {last}")
    return Outcome("".join(event["token"] for event in events), last["finish_reason"], last["generated_tokens"])


def _openai_stream(answer: Answer) -> Outcome:
    texts = _events(answer)
    if texts[-1] != "[DONE]":
        raise ValueError(f"the stream ends with {texts[-1]}")
    text, finish, n = "", "", -1
    for event in map(json.loads, texts[:-1]):
        for choice in event["choices"]:
            text += choice.get("text") or choice.get("delta", {}).get("content") or ""
            finish = choice["finish_reason"] or finish
        if event.get("usage"):
            n = event["usage"]["completion_tokens"]
    return Outcome(text, finish, n)


def outcome_of(job: Job, answer: Answer) -> Outcome:
    """What came out, whatever the route; ValueError or KeyError when the answer is not one."""
    if answer.status != 200:
        raise ValueError(f"status {answer.status}: {answer.body[:200]!r}")
    if job.streamed:
        return _openai_stream(answer) if job.path.startswith("/v1/") else _native_stream(answer)
    if not job.path.startswith("/v1/"):
        data = answer.json["data"]
        return Outcome(data["text"], data["finish_reason"], data["generated_tokens"])
    choice, usage = answer.json["choices"][0], answer.json["usage"]
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    return Outcome(text, choice["finish_reason"], usage["completion_tokens"])


BAD: list[tuple[str, str, bytes, int]] = [
    ("POST", "/generate", b"{", 400),
    ("POST", "/generate", b'{"prompt": 3}', 400),
    ("POST", "/generate", b'{"prompt": "x", "max_tokens": -1}', 400),
    ("POST", "/generate", b'{"prompt": "x", "temperature": "warm"}', 400),
    ("POST", "/generate", b'{"prompt": "' + b"x" * 200_000 + b'"}', 400),
    ("POST", "/generate", b'{"prompt": "\xff"}', 400),
    ("POST", "/v1/completions", b'{"prompt": [999999999]}', 400),
    ("POST", "/v1/completions", b'{"prompt": "x", "max_tokens": 100000}', 400),
    ("POST", "/v1/chat/completions", b'{"messages": [{"role": "wizard", "content": "x"}]}', 400),
    ("POST", "/v1/chat/completions", b"[" * 10_000, 400),
    ("POST", "/v1/completions", b'{"prompt": "x", "model": "none-such"}', 404),
    ("GET", "/nothing", b"", 404),
    ("DELETE", "/generate", b"", 405),
]
GARBAGE = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, b"GET\r\n\r\n", b"\r\n" * 50, b"POST /generate HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
           b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000]  # fmt: skip
