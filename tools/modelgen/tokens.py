"""What a synthetic model needs of a tokenizer, and the byte alphabet of byte-level BPE (as GPT-2 has it)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import gguf
from gguf import TokenType

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass
class Tokenizer:
    """A vocabulary as GGUF stores it."""

    model: str
    pre: str
    tokens: list[str]
    types: list[TokenType]
    bos: int
    eos: int
    pad: int | None
    add_bos: bool
    chat_template: str
    merges: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    unk: int | None = None

    def pad_to(self, size: int) -> None:
        """Fill up with unused tokens, as llama.cpp's converter does when the embedding has more rows."""
        for i in range(len(self.tokens), size):
            self.tokens.append(f"[PAD{i}]")
            self.types.append(TokenType.UNUSED)
            if self.scores:
                self.scores.append(-1e4)

    def token_bytes(self, i: int) -> bytes | None:
        """The bytes an ordinary token stands for; None for special, user-defined and unused ones."""
        text = self.tokens[i]
        if self.types[i] == TokenType.BYTE:
            return bytes([int(text[3:5], 16)])
        if self.types[i] != TokenType.NORMAL:
            return None
        if self.model == "llama":
            return text.replace("\u2581", " ").encode()
        return bytes(BYTE_OF[c] for c in text)

    def printable(self) -> np.ndarray:
        """For each token: are its bytes printable text by themselves (valid UTF-8, no control characters)?"""
        return np.array([is_printable(self.token_bytes(i)) for i in range(len(self.tokens))])

    def write(self, writer: gguf.GGUFWriter) -> None:
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        if self.scores:
            writer.add_token_scores(self.scores)
        writer.add_token_types(self.types)
        if self.merges:
            writer.add_token_merges(self.merges)
        writer.add_eos_token_id(self.eos)
        if self.unk is not None:
            writer.add_unk_token_id(self.unk)
        if self.pad is not None:
            writer.add_pad_token_id(self.pad)
        writer.add_bos_token_id(self.bos)
        writer.add_add_bos_token(self.add_bos)
        if self.model == "llama":
            writer.add_add_space_prefix(True)
        writer.add_chat_template(self.chat_template)


def byte_alphabet() -> list[str]:
    """The character that stands for each byte: itself if visible in Latin-1, else 256 and up."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(256, 512))
    return [chr(b) if b in visible else chr(next(spare)) for b in range(256)]


ALPHABET = byte_alphabet()
BYTE_OF = {c: b for b, c in enumerate(ALPHABET)}


def is_printable(data: bytes | None) -> bool:
    """Printable, non-empty, valid UTF-8 by itself, and not the replacement character."""
    if not data:
        return False
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return text.isprintable() and "\ufffd" not in text
