"""The same request gives the same bytes: alone or among 64 others, with the prefix cache or without, preempted or not,
with any number of threads, size of chunks, and guesses. `CLLM_LONG=1`: 200 requests in all settings, also of a real
model, which takes tens of minutes."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import support
from kit import Reply, Server

LONG = bool(os.environ.get("CLLM_LONG"))
N_REQUESTS, AT_ONCE, MOST_PROMPT, MOST_TOKENS = (200 if LONG else 60), 64, 2000, 40
PATIENCE_S = 7200
# Hardly more than one request may need, and few places, which higher priorities take from lower ones.
SMALL_POOL = ("--kv-tokens", "2304", "--max-running", "6")


@dataclass(frozen=True)
class Setting:
    """Flags of a server, and how many requests it gets at once."""

    name: str
    flags: tuple[str, ...]
    at_once: int = AT_ONCE
    in_short: bool = True

    @property
    def preempts(self) -> bool:
        return "--kv-tokens" in self.flags


ALONE = Setting("alone", ("--threads", "1", "--prefix-cache", "0", "--spec-rows", "0"), at_once=1)
SETTINGS = [
    Setting("together", ("--threads", "2")),
    Setting("no-cache-small-chunks", ("--threads", "1", "--prefix-cache", "0", "--prefill-chunk", "7"), in_short=False),
    Setting("preempted", ("--threads", "2", *SMALL_POOL, "--prefill-chunk", "48", "--spec-rows", "0")),
    Setting("preempted-no-cache", ("--threads", "1", *SMALL_POOL, "--prefix-cache", "0", "--spec-rows", "24")),
    Setting("preempted-guessing", ("--threads", "2", *SMALL_POOL, "--spec-rows", "32"), in_short=False),
    Setting("alone-with-all", ("--threads", "2", "--spec-rows", "16", "--prefill-chunk", "512"), at_once=1, in_short=False),
    Setting("no-pace", ("--threads", "2", "--decode-share", "0", "--prefix-mb", "0", "--row-budget", "1024"), in_short=False),
]  # fmt: skip


def sampling(rng: random.Random, n_vocab: int) -> dict[str, Any]:
    """Any kind of it: greedy or not, any filters, penalties and biases."""
    out: dict[str, Any] = {"seed": rng.randrange(1 << 40), "temperature": rng.choice([0, 0, 0.3, 0.8, 1.0, 1.7])}
    maybe = {
        "top_k": lambda: rng.choice([1, 5, 40, 300]),
        "top_p": lambda: rng.uniform(0.3, 0.99),
        "min_p": lambda: rng.uniform(0.01, 0.3),
        "repetition_penalty": lambda: rng.uniform(0.8, 1.5),
        "presence_penalty": lambda: rng.uniform(-1, 1.5),
        "frequency_penalty": lambda: rng.uniform(-0.5, 1),
        "logit_bias": lambda: {str(rng.randrange(n_vocab)): rng.choice([-100, -3, 2, 5]) for _ in range(20)},
    }
    for name, draw in maybe.items():
        if rng.random() < 0.3:
            out[name] = draw()
    return out


def requests(n_vocab: int) -> list[dict[str, Any]]:
    """Prompts of 1 to 2000 tokens, more short ones than long ones; many begin like others."""
    rng = random.Random(20)
    common = [[rng.randrange(1, n_vocab) for _ in range(MOST_PROMPT)] for _ in range(4)]
    out = []
    for i in range(N_REQUESTS):
        length = [1, 2, 15, 16, 17, 32, 33, MOST_PROMPT][i] if i < 8 else round(MOST_PROMPT ** rng.random())
        prompt = [rng.randrange(1, n_vocab) for _ in range(length)]
        if rng.random() < 0.5:
            shared = rng.randrange(length + 1)
            prompt[:shared] = rng.choice(common)[:shared]
        if rng.random() < 0.3:  # goes in circles, so that guesses are made
            prompt[length // 2 :] = [prompt[k % 5] for k in range(length - length // 2)]
        out.append({"prompt": prompt, "max_tokens": rng.randint(1, MOST_TOKENS), "ignore_eos": rng.random() < 0.8,
                    "priority": rng.randint(-10, 9), **sampling(rng, n_vocab)})  # fmt: skip
    return out


def preempt_some(server: Server, asked: list[Future[tuple[Any, ...]]]) -> None:
    """Sends requests that nobody outranks until some of those under way have lost their places."""
    rival = {"prompt": [5] * 20, "max_tokens": 4, "ignore_eos": True, "priority": 10}
    while server.stats()["preemptions"] < 5 and not all(one.done() for one in asked):
        assert server.post("/v1/completions", rival).status == 200


def answers(model: Path, setting: Setting, bodies: list[dict[str, Any]], log: Path) -> list[tuple[Any, ...]]:
    """What each request is answered with: text, reason and count."""

    def ask(body: dict[str, Any]) -> tuple[Any, ...]:
        connection = server.connect(PATIENCE_S)
        connection.request("POST", "/v1/completions", json.dumps(body).encode())
        reply = Reply(connection.getresponse())
        connection.close()
        assert reply.status == 200, reply.body
        choice = reply.json["choices"][0]
        return choice["text"], choice["finish_reason"], reply.json["usage"]["completion_tokens"]

    server = Server(log, *setting.flags, model=model)
    try:
        server.wait_ready()
        with ThreadPoolExecutor(setting.at_once) as pool:
            asked = [pool.submit(ask, body) for body in bodies]
            if setting.preempts:
                preempt_some(server, asked)
            out = [one.result() for one in asked]
        stats = server.stats()
        print({name: stats[name] for name in ("steps", "rows", "preemptions", "prefix_hit_tokens", "accepted_tokens")})
        assert not setting.preempts or stats["preemptions"] > 0
    finally:
        server.close()
    return out


@pytest.fixture(scope="module", params=["tiny", "smollm2"] if LONG else ["tiny"])
def model(request: pytest.FixtureRequest) -> Path:
    return support.SMOLLM2 if request.param == "smollm2" else support.Tiny("qwen3", "q4_k_m").path()


@pytest.fixture(scope="module")
def bodies(model: Path) -> list[dict[str, Any]]:
    return requests(30000 if model == support.SMOLLM2 else 400)


@pytest.fixture(scope="module")
def alone(model: Path, bodies: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Any, ...]]]:
    out = answers(model, ALONE, bodies, tmp_path_factory.mktemp("alone") / "log")
    assert len({text for text, _, _ in out}) > N_REQUESTS / 2  # they say something
    yield out


@pytest.mark.usefixtures("cllm")
@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.in_short or LONG], ids=lambda s: s.name)
def test_as_alone(model: Path, bodies: list[dict[str, Any]], alone: list[tuple[Any, ...]], setting: Setting, tmp_path: Path) -> None:
    for i, (one, other) in enumerate(zip(alone, answers(model, setting, bodies, tmp_path / "log"), strict=True)):
        assert one == other, f"request {i} of {len(bodies[i]['prompt'])} prompt tokens: {bodies[i]}"
