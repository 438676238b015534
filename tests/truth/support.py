"""Shared by the truth tests: the binary, the cache of small models, llama.cpp as a witness, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from kit import SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build" / "release" / "cllm"))
SMOLLM2 = ROOT / "models" / "smollm2-135m-instruct-q4_1.gguf"
MODEL_CACHE = ROOT / "build" / "test-models"
MAKER = ROOT / "tools" / "make_model.py"
THREADS = 2

ARCHS = ("llama", "qwen2", "qwen3")
FURTHER_ARCHS = ("qwen3moe", "smollm3", "granite", "gemma3")
"""Tested with a few formats only: formats do not depend on architectures."""

FLOAT_TYPES = ("f32", "f16", "bf16")
QUANT_TYPES = (
    "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs",
)  # fmt: skip
MIXES = ("q4_k_m",)


@dataclass(frozen=True)
class Tiny:
    """A small synthetic model: what make_model.py is asked for."""

    arch: str
    type: str
    rope_scaling: str = "none"
    tokenizer: str = "bpe"
    bias: bool = False
    seed: int = 1
    pooling: str = "unsaid"

    @property
    def label(self) -> str:
        return "-".join(str(getattr(self, f.name)) for f in fields(self))

    def path(self) -> Path:
        """The model's file, made if it is not there or older than its maker."""
        path = MODEL_CACHE / f"{self.label}.gguf"
        sources = [MAKER, *(MAKER.parent / "modelgen").glob("*.py")]
        if path.exists() and path.stat().st_mtime >= max(s.stat().st_mtime for s in sources):
            return path
        command = [sys.executable, str(MAKER), self.arch, "--tiny", "--type", self.type, "--out", str(path)]
        command += [
            "--rope-scaling",
            self.rope_scaling,
            "--tokenizer",
            self.tokenizer,
            "--seed",
            str(self.seed),
            "--pooling",
            self.pooling,
        ]
        command += [] if self.bias else ["--no-printable-bias"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return path


def run_cllm(*args: str | Path, timeout: float = 300 * SLOW) -> str:
    """Run the engine's binary; its standard output. A failure shows what it said."""
    done = subprocess.run([CLLM, *args], capture_output=True, text=True, timeout=timeout, check=False)
    command = " ".join(map(str, [CLLM.name, *args]))
    assert done.returncode == 0, f"`{command}` ended with {done.returncode}:\n{done.stderr[-2000:]}"
    return done.stdout


def engine_logits(model: Path, tokens: Sequence[int], n_vocab: int, *options: str) -> np.ndarray:
    """The engine's logits after each token: float32 [n, vocab]."""
    with tempfile.TemporaryDirectory() as folder:
        listing, out = Path(folder) / "tokens", Path(folder) / "logits.f32"
        text = ",".join(str(int(t)) for t in tokens)
        listing.write_text(text + "\n")
        given = ("--tokens", text) if len(tokens) <= 256 else ("--tokens-file", listing)
        run_cllm("eval", "--model", model, *given, "--logits", out, *options)
        data = np.fromfile(out, dtype="<f4")
    assert data.size == len(tokens) * n_vocab, f"{data.size} logits for {len(tokens)} tokens of {n_vocab}"
    return data.reshape(len(tokens), n_vocab)


class LlamaCpp:
    """llama.cpp in this process, by way of xllamacpp and its HTTP endpoint."""

    def __init__(self, model: Path, n_ctx: int = 2048) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx = n_ctx
        params.n_parallel = 1
        params.port = 0
        params.cpuparams.n_threads = THREADS
        params.cpuparams_batch.n_threads = THREADS
        params.cache_ram_mib = 0
        params.warmup = False
        params.verbosity = -1
        self.server = xllamacpp.Server(params)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.server.listening_address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=300 * SLOW) as reply:
            return json.load(reply)

    def tokenize(self, text: str) -> list[int]:
        return self.post("/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]

    def complete(self, prompt: str | list[int], n_predict: int, **more: Any) -> dict[str, Any]:
        """A greedy completion, from text or token ids."""
        body = {"prompt": prompt, "n_predict": n_predict, "temperature": 0, "cache_prompt": False}
        return self.post("/completion", {**body, "return_tokens": True, **more})

    def next_logprobs(self, tokens: Sequence[int], n_vocab: int) -> np.ndarray:
        """log-probabilities of the whole vocabulary after `tokens` (small vocabularies only).

        The reply reports the raw logits' probabilities, but only when a token is shown: so 'e' is made to
        win, lest an end token or half a character swallow the report.
        """
        shown = self.post("/tokenize", {"content": "e"})["tokens"][-1]
        reply = self.complete([int(t) for t in tokens], 1, n_probs=n_vocab, logit_bias=[[shown, 1000.0]])
        out = np.full(n_vocab, -np.inf)
        for entry in reply["completion_probabilities"][0]["top_logprobs"]:
            out[entry["id"]] = entry["logprob"]
        return out


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Error:
    """How far `got` is from `want`: row means removed (softmax ignores them), over all rows and per row."""

    rel_rms: float
    max_abs: float
    worst_cosine: float
    std: float

    @classmethod
    def between(cls, got: np.ndarray, want: np.ndarray) -> Error:
        a = got.astype(np.float64) - got.astype(np.float64).mean(axis=-1, keepdims=True)
        b = want - want.mean(axis=-1, keepdims=True)
        std = float(b.std())
        cosine = (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
        max_abs = float(np.abs(got.astype(np.float64) - want).max())
        return cls(float((a - b).std()) / std, max_abs, float(cosine.min()), std)


def random_tokens(n: int, n_vocab: int, seed: int = 7) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, n_vocab, size=n)]
