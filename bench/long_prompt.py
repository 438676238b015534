#!/usr/bin/env python3
"""How long a long prompt makes others wait: the time between tokens of streams, before and while it is computed.

    make && .venv/bin/python bench/long_prompt.py
    .venv/bin/python bench/long_prompt.py --tokens 4000 --flags '--decode-share 0'    # how it is without the bound

Starts cLLM without prefix cache, times the prompt alone (which gives the time of a chunk of `--prefill-chunk` tokens),
then lets the streams run, sends the prompt, and prints a Markdown row. The last column says whether the 99th percentile
while the prompt is computed is within twice the usual one and one chunk. Exit status: 0 it is, 1 it is not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "bench")]

from benchlib.stats import percentile  # noqa: E402
from peerlib.runner import free_port, stop, wait_healthy  # noqa: E402

TIMEOUT_S = 3600.0
HEADINGS = ("model", "streams", "prompt", "usual p50 / p99 (ms)", "beside the prompt p50 / p99 (ms)", "chunk (ms)",
            "prompt alone / beside (s)", "within 2 × p99 + chunk")  # fmt: skip


@dataclass
class Figures:
    """What one run measured, in seconds."""

    usual: list[float]
    beside: list[float]
    alone_s: float
    beside_s: float
    chunk_s: float

    def within(self) -> bool:
        return percentile(self.beside, 99) <= 2 * percentile(self.usual, 99) + self.chunk_s


class Stream(threading.Thread):
    """An answer without end; `stamps` has the time of each of its tokens."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.port, self.seed = port, seed
        self.stamps: list[float] = []
        self.stopping = False

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        body = {"prompt": f"Story {self.seed}:", "max_tokens": 6000, "temperature": 1, "seed": self.seed,
                "stream": True, "ignore_eos": True}  # fmt: skip
        connection.request("POST", "/generate_stream", json.dumps(body).encode())
        for line in connection.getresponse():
            if line.startswith(b"data: "):
                self.stamps.append(time.monotonic())
            if self.stopping:
                break
        connection.close()

    def gaps(self, begin: float, end: float) -> Iterator[float]:
        """Times between its tokens, of those that came in between."""
        for before, after in zip(self.stamps, self.stamps[1:], strict=False):
            if begin <= after <= end:
                yield after - before


@contextmanager
def serving(args: argparse.Namespace) -> Iterator[int]:
    port = free_port()
    command = [args.cllm, "serve", "--model", args.model, "--port", port, "--threads", args.threads, "--log-level", "warn",
               "--prefix-cache", 0, "--prefill-chunk", args.prefill_chunk, *shlex.split(args.flags)]  # fmt: skip
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    try:
        wait_healthy(process, f"http://127.0.0.1:{port}", "/health", 120)
        yield port
    finally:
        stop(process)


def time_prompt(port: int, n_tokens: int, seed: int) -> tuple[float, float]:
    """Sends a prompt of random tokens, waits for the first token of its answer; when it began and ended."""
    rng = random.Random(seed)
    body = {"prompt": [rng.randrange(100, 30000) for _ in range(n_tokens)], "max_tokens": 1, "temperature": 0}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    begin = time.monotonic()
    connection.request("POST", "/v1/completions", json.dumps(body).encode())
    reply = connection.getresponse()
    text = reply.read()
    end = time.monotonic()
    connection.close()
    if reply.status != 200:
        raise SystemExit(f"the prompt was refused: {text.decode(errors='replace')[:300]}")
    return begin, end


def measure(port: int, args: argparse.Namespace) -> Figures:
    begin, end = time_prompt(port, args.tokens, 1)
    alone = end - begin
    streams = [Stream(port, seed) for seed in range(args.streams)]
    for stream in streams:
        stream.start()
    while min(len(stream.stamps) for stream in streams) < 5:
        time.sleep(0.05)
    start = time.monotonic()
    time.sleep(args.seconds)
    begin, end = time_prompt(port, args.tokens, 2)
    usual = sorted(gap for stream in streams for gap in stream.gaps(start, begin))
    beside = sorted(gap for stream in streams for gap in stream.gaps(begin, end))
    for stream in streams:
        stream.stopping = True
    for stream in streams:
        stream.join(10)
    chunks = -(-args.tokens // args.prefill_chunk)
    return Figures(usual, beside, alone, end - begin, alone / chunks)


def row(figures: Figures, args: argparse.Namespace) -> str:
    def pair(gaps: list[float]) -> str:
        return f"{1000 * percentile(gaps, 50):.0f} / {1000 * percentile(gaps, 99):.0f}"

    cells = (args.model.stem, args.streams, args.tokens, pair(figures.usual), pair(figures.beside),
             f"{1000 * figures.chunk_s:.0f}", f"{figures.alone_s:.1f} / {figures.beside_s:.1f}",
             "yes" if figures.within() else "no")  # fmt: skip
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("--model", type=Path, default=ROOT / "models/qwen3-0.6b-q4_k_m.gguf", help="default: %(default)s")
    add("--cllm", type=Path, default=ROOT / "build/release/cllm", help="the binary (default: %(default)s)")
    add("--tokens", type=int, default=8000, help="length of the prompt (default: 8000)")
    add("--streams", type=int, default=8, help="default: 8")
    add("--seconds", type=float, default=20.0, help="of streams alone (default: 20)")
    add("--threads", type=int, default=2, help="default: 2")
    add("--prefill-chunk", type=int, default=128, help="default: 128")
    add("--flags", default="", help="further flags of `cllm serve`")
    return parser


def main() -> int:
    args = build_parser().parse_args()
    with serving(args) as port:
        figures = measure(port, args)
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    print(row(figures, args))
    return 0 if figures.within() else 1


if __name__ == "__main__":
    sys.exit(main())
