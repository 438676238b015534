"""Token for token the same as the `tokenizers` package, and every text comes back.

SmolLM2's reference is built from the model file's own vocabulary and merges with the pre-tokenizer of its
published tokenizer.json; Qwen3's is the published tokenizer.json itself.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

sys.path.insert(0, str(Path(__file__).parent))
from gguf_meta import read_metadata  # noqa: E402
from lines import bad_lines, text_lines  # noqa: E402
from tokenize_bulk import decode, encode  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SEED = 20240607
N_LINES = 3000
CONTROL, USER = 3, 4


@dataclass(frozen=True)
class Case:
    """A model, its metadata, and the reference tokenizer that recognises special tokens."""

    path: Path
    meta: dict[str, Any]
    reference: Tokenizer

    @property
    def tokens(self) -> list[str]:
        return self.meta["tokenizer.ggml.tokens"]

    @property
    def added(self) -> list[AddedToken]:
        kinds = self.meta["tokenizer.ggml.token_type"]
        return [
            AddedToken(text, special=kind == CONTROL, normalized=False)
            for text, kind in zip(self.tokens, kinds, strict=True)
            if kind in (CONTROL, USER)
        ]


def smollm2() -> Case:
    path = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"
    if not path.exists():
        pytest.fail(f"{path} is missing: run tools/fetch_model.py", pytrace=False)
    meta = read_metadata(path)
    vocab = {token: i for i, token in enumerate(meta["tokenizer.ggml.tokens"])}
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    reference = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    case = Case(path, meta, reference)
    reference.add_special_tokens(case.added)
    return checked(case)


def checked(case: Case) -> Case:
    for token in case.added:
        assert case.tokens[case.reference.token_to_id(token.content)] == token.content
    return case


def qwen3() -> Case:
    path = ROOT / "models/qwen3-0.6b-q4_k_m.gguf"
    published = sorted((ROOT / "models/.cache").glob("**/tokenizer.json"))
    if not path.exists() or not published:
        pytest.fail(f"{path} or its tokenizer.json is missing: run tools/make_model.py", pytrace=False)
    meta = read_metadata(path)
    definition = json.loads(published[0].read_text(encoding="utf-8"))
    # Which added tokens a text may not forge is said by the model file: <|fim_prefix|> counts as a control
    # token there, though tokenizer.json does not call it special.
    for token in definition["added_tokens"]:
        token["special"] = meta["tokenizer.ggml.token_type"][token["id"]] == CONTROL
    return checked(Case(path, meta, Tokenizer.from_str(json.dumps(definition))))


@cache
def load(name: str) -> Case:
    return {"smollm2": smollm2, "qwen3": qwen3}[name]()


@pytest.fixture(params=["smollm2", "qwen3"])
def case(request: pytest.FixtureRequest) -> Case:
    return load(request.param)


def byte_characters() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = iter(range(0x100, 0x200))
    return [chr(b) if b in kept else chr(next(rest)) for b in range(256)]


def representable(case: Case, texts: Sequence[bytes]) -> list[bytes]:
    """The texts without the bytes that the vocabulary has no token for (the reference leaves them out too)."""
    known = set(case.tokens)
    missing = bytes(b for b in range(256) if _CHARACTERS[b] not in known)
    assert case.path.name.startswith("smollm2") or not missing
    return [text.translate(None, missing) for text in texts]


_CHARACTERS = byte_characters()


def test_characters_of_bytes() -> None:
    assert set(_CHARACTERS) == set(pre_tokenizers.ByteLevel.alphabet())
    for b, expected in zip(b"\x00 \nA\xe9", ("Ā", "Ġ", "Ċ", "A", "é"), strict=True):
        assert _CHARACTERS[b] == expected


@pytest.mark.parametrize("special", [True, False])
def test_tokens_are_the_reference_tokens(case: Case, special: bool) -> None:
    texts = text_lines(N_LINES, SEED + special, [t.content for t in case.added])
    case.reference.encode_special_tokens = not special
    ours = encode(case.path, [t.encode() for t in texts], *(["--special"] if special else []))
    theirs = [e.ids for e in case.reference.encode_batch(texts, add_special_tokens=False)]
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} of {len(texts)} lines differ; the shortest: {min(wrong, key=lambda w: len(w[0]))}"


@pytest.mark.parametrize("special", [True, False])
def test_texts_come_back(case: Case, special: bool) -> None:
    texts = text_lines(N_LINES, SEED + special, [t.content for t in case.added])
    if case.reference.normalizer is not None:
        texts = [unicodedata.normalize("NFC", t) for t in texts]
    raw = [t.encode() for t in texts]
    back = decode(case.path, encode(case.path, raw, *(["--special"] if special else [])))
    assert back == representable(case, raw)


def test_invalid_bytes_come_back(case: Case) -> None:
    raw = bad_lines(N_LINES // 2, SEED)
    assert decode(case.path, encode(case.path, raw)) == representable(case, raw)


def test_a_user_cannot_forge_a_control_token(case: Case) -> None:
    control = {case.reference.token_to_id(t.content) for t in case.added if t.special}
    texts = [f"hi{t.content}\nsystem {t.content}" for t in case.added if t.special]
    plain, special = (
        encode(case.path, [t.encode() for t in texts]),
        encode(case.path, [t.encode() for t in texts], "--special"),
    )
    assert all(not control & set(row) for row in plain)
    assert all(len(control & set(row)) == 1 for row in special)
