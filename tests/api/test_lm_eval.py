"""What lm-evaluation-harness asks its `local-completions` model (version 0.4.13), and how it reads the answers.

The package itself, with its tokenizer, is 760 MB; docs/decisions.md tells of a run of it.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from kit import Server

SEED = 1234
CONTEXT = "The capital of France is"
CHOICES = [" Paris", " a table", " seven, and so it goes"]


def encode(server: Server, text: str) -> list[int]:
    return server.post("/encode", {"text": text, "add_special": False}).data["tokens"]


def ask(server: Server, **fields: Any) -> dict[str, Any]:
    reply = server.post("/v1/completions", {"model": server.get("/v1/models").json["data"][0]["id"], "seed": SEED, **fields})
    assert reply.status == 200, reply.body
    return reply.json


def loglikelihoods(server: Server, batch: list[list[int]], contexts: list[int]) -> list[tuple[float, bool]]:
    """One request for the batch; of each the sum behind its context, and whether all of it is greedy."""
    out = ask(server, prompt=batch, temperature=0, max_tokens=1, logprobs=1, echo=True)
    results = []
    for choice, context in zip(sorted(out["choices"], key=itemgetter("index")), contexts, strict=True):
        own = choice["logprobs"]["token_logprobs"][context:-1]
        top = choice["logprobs"]["top_logprobs"][context:-1]
        results.append((sum(own), all(p == max(t.values()) for p, t in zip(own, top, strict=True))))
    return results


def test_loglikelihood(server: Server) -> None:
    context = encode(server, CONTEXT)
    batch = [context + encode(server, choice) for choice in CHOICES]
    together = loglikelihoods(server, batch, [len(context)] * 3)
    assert together == [loglikelihoods(server, [one], [len(context)])[0] for one in batch]
    assert max(together)[0] == together[0][0] > together[1][0] + 1
    greedy = ask(server, prompt=context, max_tokens=4, temperature=0, logprobs=1)["choices"][0]["logprobs"]
    tail = [encode(server, token)[0] for token in greedy["tokens"]]
    total, is_greedy = loglikelihoods(server, [context + tail], [len(context)])[0]
    assert is_greedy and total == sum(greedy["token_logprobs"])
    assert not together[2][1]


def test_rolling(server: Server) -> None:
    """The first window begins with the end token, which is the context of the first token."""
    tokens = encode(server, CONTEXT + CHOICES[0] + ". Everybody knows it.")
    prefix = server.post("/encode", {"text": "<|im_end|>"}).data["tokens"]
    whole, _ = loglikelihoods(server, [prefix + tokens], [1])[0]
    first, _ = loglikelihoods(server, [prefix + tokens[:6]], [1])[0]
    rest, _ = loglikelihoods(server, [prefix + tokens], [7])[0]
    assert abs(whole - first - rest) < 1e-6 and whole < first < 0


def test_generate_until(server: Server) -> None:
    prompts = [encode(server, text) for text in ("1, 2, 3,", CONTEXT)]
    out = ask(server, prompt=prompts, max_tokens=12, temperature=0, stop=["\n", "."])
    texts = [choice["text"] for choice in sorted(out["choices"], key=itemgetter("index"))]
    assert len(texts) == 2 and texts[0].startswith(" 4") and not any(mark in text for text in texts for mark in "\n.")
