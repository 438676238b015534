"""Every pre-tokenizer that has a name cuts as the published expression does in the `tokenizers` package.

The vocabulary is SmolLM2's throughout; only the pre-tokenizer and what goes with it differ.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

sys.path.insert(0, str(Path(__file__).parent))
from gguf_meta import read_metadata, write_metadata  # noqa: E402
from lines import text_lines  # noqa: E402
from tokenize_bulk import ROOT, encode  # noqa: E402

N_LINES, SEED = 2000, 7
MODEL = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"
ENDING = r"\s*[\r\n]+|\s+(?!\S)|\s+"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def words(numbers: str) -> str:
    return rf"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{ENDING}"


def cased(suffix: str, numbers: str) -> str:
    head = r"[^\r\n\p{L}\p{N}]?"
    symbols = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
    return f"{head}{UPPER}*{LOWER}+{suffix}|{head}{UPPER}+{LOWER}*{suffix}|{numbers}|{symbols}|{ENDING}"


DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|" + ENDING
)


@dataclass(frozen=True)
class Published:
    """What a tokenizer.json says."""

    expressions: tuple[str, ...] = ()
    digits: bool = False  # each digit by itself, and then the expression of GPT-2
    gpt2: bool = False
    nfc: bool = False
    ignore_merges: bool = False

    def pre_tokenizer(self) -> pre_tokenizers.PreTokenizer:
        parts: list[pre_tokenizers.PreTokenizer] = []
        if self.digits:
            parts.append(pre_tokenizers.Digits(individual_digits=True))
        parts += [pre_tokenizers.Split(Regex(e), "isolated") for e in self.expressions]
        parts.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=self.gpt2 or self.digits))
        return pre_tokenizers.Sequence(parts)


LLAMA3 = Published((words(r"\p{N}{1,3}"),), ignore_merges=True)
PUBLISHED = {
    "gpt-2": Published(gpt2=True),
    "default": Published(gpt2=True),
    "phi-2": Published(gpt2=True),
    "smollm": Published(digits=True),
    "starcoder": Published(digits=True),
    "refact": Published(digits=True),
    "command-r": Published(digits=True, nfc=True),
    "qwen2": Published((words(r"\p{N}"),), nfc=True),
    "llama-bpe": LLAMA3,
    "llama-v3": LLAMA3,
    "llama3": LLAMA3,
    "smaug-bpe": LLAMA3,
    "gpt-4o": Published((cased(CONTRACTION + "?", r"\p{N}{1,3}"),)),
    "tekken": Published((cased("", r"\p{N}"),), ignore_merges=True),
    "deepseek-v3": Published((r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3)),
}


@pytest.fixture(scope="module")
def meta() -> dict[str, Any]:
    if not MODEL.exists():
        pytest.fail(f"{MODEL} is missing: run tools/fetch_model.py", pytrace=False)
    return {key: value for key, value in read_metadata(MODEL).items() if key.startswith("tokenizer.ggml.")}


def reference(meta: dict[str, Any], published: Published) -> Tokenizer:
    vocab = {token: i for i, token in enumerate(meta["tokenizer.ggml.tokens"])}
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=published.ignore_merges))
    tokenizer.pre_tokenizer = published.pre_tokenizer()
    if published.nfc:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


@pytest.mark.parametrize("name", PUBLISHED)
def test_cuts_as_published(meta: dict[str, Any], tmp_path: Path, name: str) -> None:
    write_metadata(tmp_path / "vocab.gguf", {**meta, "tokenizer.ggml.pre": name})
    texts = text_lines(N_LINES, SEED, [])
    ours = encode(tmp_path / "vocab.gguf", [t.encode() for t in texts])
    theirs = [e.ids for e in reference(meta, PUBLISHED[name]).encode_batch(texts, add_special_tokens=False)]
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} of {len(texts)} lines differ; the shortest: {min(wrong, key=lambda w: len(w[0]))}"
