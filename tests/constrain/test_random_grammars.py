"""Random grammars against a matcher of our own kind: derivatives of expressions, which share nothing with the automaton."""

from __future__ import annotations

import random
from typing import Any

from schema_suite import ask

ALPHABET = "abc1 é€"
EMPTY = ("seq",)


def make(rng: random.Random, depth: int) -> Any:
    """("set", chars), ("seq", e, …), ("alt", e, …) or ("rep", e, least, most); every one has a text."""
    kind = rng.choice(["set", "seq", "alt", "rep"]) if depth else "set"
    if kind == "set":
        return ("set", "".join(rng.sample(ALPHABET, rng.choice([1, 1, 2, 4]))))
    if kind == "rep":
        least = rng.choice([0, 0, 1, 2, 5])
        return ("rep", make(rng, depth - 1), least, rng.choice([None, least + 1, least + 3, 60]))
    return (kind, *(make(rng, depth - 1) for _ in range(rng.choice([2, 3]))))


def written(e: Any, gbnf: bool) -> str:
    if e[0] == "set":
        return f"[{e[1]}]"
    if e[0] == "rep":
        return f"({written(e[1], gbnf)}){{{e[2]},{'' if e[3] is None else e[3]}}}"
    return (
        "("
        + (" | " if gbnf and e[0] == "alt" else "|" if e[0] == "alt" else " " if gbnf else "").join(
            written(x, gbnf) for x in e[1:]
        )
        + ")"
    )


def nullable(e: Any) -> bool:
    if e[0] == "set":
        return False
    if e[0] == "rep":
        return e[2] == 0 or nullable(e[1])
    return (all if e[0] == "seq" else any)(nullable(x) for x in e[1:])


def joined(head: Any, tail: tuple[Any, ...]) -> Any:
    return ("seq", *(head[1:] if head[0] == "seq" else (head,)), *tail)


def derived(e: Any, c: str) -> set[Any]:
    """What may follow behind c, as a set of alternatives."""
    if e[0] == "set":
        return {EMPTY} if c in e[1] else set()
    if e[0] == "alt":
        return set().union(*(derived(x, c) for x in e[1:]))
    if e[0] == "rep":
        if e[3] == 0:
            return set()
        rest = ("rep", e[1], max(0, e[2] - 1), None if e[3] is None else e[3] - 1)
        return {joined(x, (rest,)) for x in derived(e[1], c)}
    found: set[Any] = set()
    for i in range(1, len(e)):
        found |= {joined(x, e[i + 1 :]) for x in derived(e[i], c)}
        if not nullable(e[i]):
            break
    return found


def fit(e: Any, text: str) -> str:
    states = {e}
    for c in text:
        states = set().union(*(derived(x, c) for x in states))
        if not states:
            return "no"
    return "yes" if any(nullable(x) for x in states) else "so far"


def sample(rng: random.Random, e: Any) -> str:
    if e[0] == "set":
        return rng.choice(e[1])
    if e[0] == "alt":
        return sample(rng, rng.choice(e[1:]))
    if e[0] == "seq":
        return "".join(sample(rng, x) for x in e[1:])
    most = e[2] + 3 if e[3] is None or rng.random() < 0.8 else e[3]
    return "".join(sample(rng, e[1]) for _ in range(rng.randint(e[2], most if e[3] is None else min(most, e[3]))))


def texts_for(rng: random.Random, e: Any) -> list[str]:
    texts = [sample(rng, e)[:80] for _ in range(6)]
    for text in list(texts):
        at = rng.randrange(len(text) + 1)
        texts += [text[:at], text[:at] + rng.choice(ALPHABET) + text[at:], text[:at] + text[at + 1 :]]
    return texts


def test_same_as_derivatives() -> None:
    rng = random.Random(8)
    cases = []
    for _ in range(150):
        e = make(rng, 4)
        cases.append((e, texts_for(rng, e)))
    for key in ("gbnf", "regex"):
        lines = [
            {key: "root ::= " + written(e, True) if key == "gbnf" else written(e, False), "texts": texts}
            for e, texts in cases
        ]
        seen = set()
        for (e, texts), line, answer in zip(cases, lines, ask(lines), strict=True):
            assert answer["ok"], (line[key], answer)
            if "too ambiguous" in answer["fits"]:
                continue
            wanted = [fit(e, text) for text in texts]
            assert answer["fits"] == wanted, (line[key], texts)
            seen |= set(wanted)
        assert seen == {"yes", "so far", "no"}
