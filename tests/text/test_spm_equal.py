"""SentencePiece vocabularies: the same tokens as the `sentencepiece` package, on a model trained here."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from gguf_meta import write_metadata  # noqa: E402
from lines import bad_lines, text_lines  # noqa: E402
from tokenize_bulk import decode, encode  # noqa: E402

sentencepiece = pytest.importorskip("sentencepiece")
N_LINES, SEED = 2000, 3
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
MARK = "\u2581"


def train(prefix: bool) -> Any:
    model = io.BytesIO()
    # The trainer reads lines; what it learns from does not matter, only that both use the same pieces.
    corpus = [line for text in text_lines(3000, 1, []) for line in text.splitlines() if line.strip("\0")]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, vocab_size=3000, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=prefix,
        allow_whitespace_only_pieces=True, split_digits=True, minloglevel=2, character_coverage=0.98,
    )  # fmt: skip
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def kind(sp: Any, i: int) -> int:
    return UNKNOWN if sp.is_unknown(i) else CONTROL if sp.is_control(i) else BYTE if sp.is_byte(i) else NORMAL


def write(path: Path, sp: Any, prefix: bool) -> None:
    ids = range(sp.get_piece_size())
    write_metadata(
        path,
        {
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": [sp.id_to_piece(i) for i in ids],
            "tokenizer.ggml.scores": [float(sp.get_score(i)) for i in ids],
            "tokenizer.ggml.token_type": [kind(sp, i) for i in ids],
            "tokenizer.ggml.unknown_token_id": sp.unk_id(),
            "tokenizer.ggml.bos_token_id": sp.bos_id(),
            "tokenizer.ggml.eos_token_id": sp.eos_id(),
            "tokenizer.ggml.add_space_prefix": prefix,
        },
    )


@pytest.mark.parametrize("prefix", [True, False])
def test_same_tokens_and_back(tmp_path: Path, prefix: bool) -> None:
    sp, path = train(prefix), tmp_path / "vocab.gguf"
    write(path, sp, prefix)
    texts = [t for t in text_lines(N_LINES, SEED, ["<s>", "</s>", "<unk>", "<0x41>"]) if "\0" not in t]
    ours = encode(path, [t.encode() for t in texts])
    theirs = [sp.encode(t) for t in texts]
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} of {len(texts)} lines differ; the shortest: {min(wrong, key=lambda w: len(w[0]))}"
    raw = [t.replace(MARK, " ").encode() for t in texts] + bad_lines(N_LINES // 4, SEED)
    assert decode(path, encode(path, raw)) == [r.replace(MARK.encode(), b" ") for r in raw]
