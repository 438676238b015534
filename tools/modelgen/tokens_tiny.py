"""Two tokenizers of 512 tokens, trained on a paragraph: byte-level BPE and SentencePiece-like."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from gguf import TokenType

from .tokens import ALPHABET, CHATML, Tokenizer

SIZE = 512
SPACE = "\u2581"
TEXT = """
The harbour wakes before the town does. Small boats come in one after another, and the men and women
on them talk quietly while they sort the nets, count the boxes and wash the decks. There is a smell
of salt, of diesel and of bread from the bakery at the corner. When the sun rises over the roofs,
the first customers are already there; they ask what the night has brought, and they get an honest
answer. Some days it is much, some days it is nothing. "It depends on the wind," says the oldest of
them, "and the wind does not depend on us." She has been saying this for forty years, and in forty
years nobody has found a better explanation. Then the market opens, the gulls arrive, and the rest
of the morning belongs to noise: voices, engines, bells, the wheels of carts on stone. At noon the
tide turns and everything is still again. In 1987 there were 312 boats; in 2024 there are 46. The
children count them from the wall, one by one, as their parents did.
海港在黎明前醒来。渔船一艘接一艘地回来。 Größe, déjà vu, naïve, здравствуй, мир!
"""
SPECIALS = [
    ("<|endoftext|>", TokenType.CONTROL), ("<|im_start|>", TokenType.CONTROL),
    ("<|im_end|>", TokenType.CONTROL),
    ("<think>", TokenType.USER_DEFINED), ("</think>", TokenType.USER_DEFINED),
    ("<tool_call>", TokenType.USER_DEFINED), ("</tool_call>", TokenType.USER_DEFINED),
]  # fmt: skip


def learn_merges(words: list[list[str]], count: int) -> list[tuple[str, str]]:
    """Plain BPE training: join the most frequent pair (ties: the smaller one), `count` times."""
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs = Counter((a, b) for word in words for a, b in pairwise(word))
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = [join(word, best) for word in words]
    return merges


def join(word: list[str], pair: tuple[str, str]) -> list[str]:
    """`word` with every occurrence of `pair` joined, from the left."""
    out: list[str] = []
    for piece in word:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def unique_after(merges: list[tuple[str, str]], known: set[str]) -> list[str]:
    """The new tokens merges make, in order, each once."""
    return [t for t in dict.fromkeys(a + b for a, b in merges) if t not in known]


def bpe(pre: str) -> Tokenizer:
    """256 byte tokens, merges, specials and a few unused tokens."""
    words = [[ALPHABET[b] for b in w.encode()] for w in re.findall(r" ?\w+|[^\w\s]+|\s+", TEXT)]
    n_merges = SIZE - 256 - len(SPECIALS) - 5
    merges = learn_merges(words, n_merges)
    tokens = ALPHABET + unique_after(merges, set(ALPHABET))
    types = [TokenType.NORMAL] * len(tokens)
    base = len(tokens)
    for text, kind in SPECIALS:
        tokens.append(text)
        types.append(kind)
    out = Tokenizer(
        model="gpt2", pre=pre, tokens=tokens, types=types, merges=[f"{a} {b}" for a, b in merges],
        bos=base, eos=base + 2, pad=base, add_bos=False, chat_template=CHATML,
    )  # fmt: skip
    out.pad_to(SIZE)
    return out


def spm() -> Tokenizer:
    """<unk>, <s>, </s>, 256 byte tokens, pieces with scores, and a few unused tokens."""
    words = [list(SPACE + w) for w in TEXT.split()]
    chars = sorted({c for word in words for c in word})
    specials = [("<unk>", TokenType.UNKNOWN), ("<s>", TokenType.CONTROL), ("</s>", TokenType.CONTROL)]
    tokens = [text for text, _ in specials] + [f"<0x{b:02X}>" for b in range(256)]
    types = [kind for _, kind in specials] + [TokenType.BYTE] * 256
    scores = [0.0] * len(tokens)
    merges = learn_merges(words, SIZE - len(tokens) - len(chars) - 4)
    pieces = unique_after(merges, set(chars))
    tokens += pieces + chars
    types += [TokenType.NORMAL] * (len(pieces) + len(chars))
    scores += [-float(i) for i in range(len(pieces) + len(chars))]
    out = Tokenizer(
        model="llama", pre="default", tokens=tokens, types=types, scores=scores,
        bos=1, eos=2, unk=0, pad=None, add_bos=True, chat_template=CHATML,
    )  # fmt: skip
    out.pad_to(SIZE)
    return out
