#!/usr/bin/env python3
"""Write a GGUF model with synthetic (seeded random) weights.

make_model.py qwen3-0.6b --type q4_k_m            Qwen3-0.6B's exact shape and its real tokenizer, 397 MB
make_model.py llama --tiny --type q5_k            a small model for tests, in well under a second
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import gguf

sys.path.insert(0, str(Path(__file__).resolve().parent))

from modelgen import arch, tokens_qwen3, tokens_tiny
from modelgen.codecs import CODECS
from modelgen.tokens import Tokenizer
from modelgen.weights import Weights

ROOT = Path(__file__).resolve().parent.parent
MODELS_DIR = ROOT / "models"
TINY_PRE = {"qwen2": "qwen2", "qwen3": "qwen2"}


def tokenizer_for(args: argparse.Namespace) -> Tokenizer:
    """The tokenizer of the model asked for."""
    if args.tiny:
        return tokens_tiny.spm() if args.tokenizer == "spm" else tokens_tiny.bpe(TINY_PRE.get(args.name, "smollm"))
    tokenizer = tokens_qwen3.load(MODELS_DIR / ".cache")
    tokenizer.pad_to(arch.MODELS[args.name].vocab)
    return tokenizer


def config_for(args: argparse.Namespace) -> arch.Config:
    """The configuration asked for, or a ValueError that says what is possible."""
    table = arch.TINY if args.tiny else arch.MODELS
    if args.name not in table:
        hint = "with --tiny" if args.tiny else "without --tiny"
        raise ValueError(f"unknown model '{args.name}'; {hint} there are: {', '.join(table)}")
    if args.rope_scaling == "freqs" and args.name != "llama":
        raise ValueError("--rope-scaling freqs (a rope_freqs tensor) exists for llama only")
    if args.tokenizer == "spm" and not (args.tiny and args.name == "llama"):
        raise ValueError("--tokenizer spm needs 'llama --tiny'")
    return replace(table[args.name], rope_scaling=args.rope_scaling, pooling=args.pooling)


def write_model(path: Path, cfg: arch.Config, kind: str, tokenizer: Tokenizer, weights: Weights) -> None:
    """Write the file tensor by tensor, under a temporary name until it is complete."""
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, cfg.arch)
    arch.write_metadata(writer, cfg, kind)
    tokenizer.write(writer)
    tensors = arch.tensors(cfg, kind)
    for t in tensors:
        codec = CODECS[t.codec]
        n_bytes = codec.row_bytes(t.cols) * max(t.rows, 1)
        shape = (t.rows // t.n_experts, t.cols) if t.rows else (t.cols,)
        if t.n_experts > 1:
            shape = (t.n_experts, *shape)
        writer.add_tensor_info(t.name, shape, np.dtype(np.float32), n_bytes, codec.qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for t in tensors:
        writer.write_tensor_data(weights.make(t))
    writer.close()
    os.replace(part, path)


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write a GGUF model with synthetic weights.")
    names = sorted({*arch.MODELS, *arch.TINY})
    parser.add_argument("name", help=f"one of {', '.join(names)}")
    parser.add_argument(
        "--type", default="q4_k_m", choices=sorted(arch.FILE_TYPES), help="weight format or mix"
    )
    parser.add_argument("--out", type=Path, help="target file (default: models/NAME-TYPE.gguf)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="a small model with a vocabulary of 512")
    parser.add_argument(
        "--tokenizer", choices=("bpe", "spm"), default="bpe", help="tokenizer of a tiny model"
    )
    parser.add_argument("--rope-scaling", choices=arch.ROPE_SCALINGS, default="none")
    parser.add_argument("--pooling", choices=arch.POOLINGS, default="unsaid", help="of embeddings")
    parser.add_argument("--no-printable-bias", dest="bias", action="store_false",
                        help="let the model emit any token (end tokens and partial UTF-8 too)")  # fmt: skip
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    args = parse_args(argv)
    start = time.monotonic()
    try:
        cfg = config_for(args)
        tokenizer = tokenizer_for(args)
        if len(tokenizer.tokens) != cfg.vocab:
            raise ValueError(f"the tokenizer has {len(tokenizer.tokens)} tokens, the model {cfg.vocab}")
        label = ("tiny-" if args.tiny else "") + args.name
        out = args.out or MODELS_DIR / f"{label}-{args.type}.gguf"
        out.parent.mkdir(parents=True, exist_ok=True)
        weights = Weights(cfg, args.seed, tokenizer.printable() if args.bias else None)
        write_model(out, cfg, args.type, tokenizer, weights)
    except (ValueError, OSError, tokens_qwen3.TokenizerError) as exc:
        print(f"make_model: {exc}", file=sys.stderr)
        return 1
    print(f"{out}: {out.stat().st_size:,} bytes, {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
