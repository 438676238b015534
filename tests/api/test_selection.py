"""Requests that need a few candidates of each logits row get what the same choice from whole rows gives.

top_k decides which it is: beside a min_p that keeps fewer tokens it changes nothing else.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from kit import Server

PROMPT = "Once upon a time, in a village by the sea,"
PENALTIES = {"repetition_penalty": 1.3, "presence_penalty": 0.4, "frequency_penalty": 0.2}
CHANGES = [{}, PENALTIES, {"logit_bias": {"28": -100, "253": 4, "1000": 9.5}}, {**PENALTIES, "logit_bias": {"28": 3}}]


def text(server: Server, **fields: object) -> str:
    return str(server.generate(PROMPT, max_tokens=40, ignore_eos=True, top_p=1, **fields)["text"])


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("seed", [1, 2])
def test_draws_from_candidates(server: Server, changes: dict[str, object], seed: int) -> None:
    """Alone, and both ways at once in the same steps."""
    fields = {"temperature": 1, "min_p": 0.3, "seed": seed, **changes}
    whole = text(server, top_k=0, **fields)
    assert text(server, top_k=256, **fields) == whole
    with ThreadPoolExecutor() as pool:
        texts = pool.map(lambda top_k: text(server, top_k=top_k, **fields), (0, 200, 256, 0, 300, 250))
        assert set(texts) == {whole}


@pytest.mark.parametrize("changes", CHANGES)
def test_greedy_is_the_likeliest_of_the_whole_row(server: Server, changes: dict[str, object]) -> None:
    """min_p = 1 keeps the likeliest token alone."""
    whole = text(server, temperature=1, min_p=1, top_k=0, **changes)
    assert text(server, temperature=0, **changes) == whole
