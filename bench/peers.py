#!/usr/bin/env python3
"""cLLM beside other CPU servers: the same model file, prompts, client and number of threads, in turn.

    make && make peers && .venv/bin/python bench/peers.py --output peers.json --markdown peers.md

`make peers` builds the peers for this CPU into .venv/peers-native and installs their AVX2 wheels into .venv/peers. To
compare on AVX2: --servers cllm-avx2,llama.cpp-avx2,ik_llama.cpp-avx2. In every round and at every concurrency each server is started
afresh, warmed up, measured by the closed loop of tools/benchlib and stopped. Peers that are not installed are left
out, and the result says so. Exit status: 0 all requests succeeded with exactly the tokens asked for, 1 some did
not, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "bench")]

from benchlib.environ import describe_environment  # noqa: E402
from benchlib.options import Options  # noqa: E402
from benchlib.prompts import load_prompts  # noqa: E402
from benchlib.result import write_text  # noqa: E402
from peerlib.contenders import CONTEXT, Contender, Job, all_contenders  # noqa: E402
from peerlib.runner import SAMPLING, Sample, machine_load, run_all  # noqa: E402
from peerlib.table import ratios, summarise_samples, write_markdown  # noqa: E402

BUSY_LOAD = 0.5
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def positive(text: str) -> int:
    """An argparse type: an integer above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def positives(text: str) -> list[int]:
    """An argparse type: such integers with commas between them."""
    return [positive(part) for part in text.split(",")]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("--servers", metavar="A,B", help="their names (default: all that are to be had, but *-avx2 and *-passive only when named)")
    add("--model", type=Path, default=ROOT / "models/qwen3-0.6b-q4_k_m.gguf", help="default: %(default)s")
    add("--cllm", type=Path, default=ROOT / "build/release/cllm", help="the binary (default: %(default)s)")
    add("--python", type=Path, default=ROOT / ".venv/peers/bin/python", help="of the peers' wheels (default: %(default)s)")
    add("--native", type=Path, default=ROOT / ".venv/peers-native", help="peers built here (default: %(default)s)")
    add("--concurrency", type=positives, default=[1, 8, 16, 24, 32], metavar="N,N", help="default: 1,8,16,24,32")
    add("--requests", type=positive, default=72, help="requests a test (default: 72)")
    add("--max-tokens", type=positive, default=50, help="tokens a request (default: 50)")
    add("--rounds", type=positive, default=3, help="default: 3")
    add("--threads", type=positive, default=2, help="compute threads of each server (default: 2)")
    add("--stream", action="store_true", help="a second test a server with streams: time to first token")
    add("--timeout", type=float, default=300.0, help="seconds a request may take (default: 300)")
    add("--prompts-file", metavar="FILE", help="one prompt a line (default: benchlib's five)")
    add("--output", metavar="FILE", help="write everything as JSON")
    add("--markdown", metavar="FILE", help="write the tables")
    return parser


def choose(contenders: Sequence[Contender], names: str | None) -> list[Contender]:
    """The servers to run. ValueError for a name that is unknown or not to be had."""
    if names is None:
        return [c for c in contenders if c.version is not None and not c.optional]
    known = {contender.name: contender for contender in contenders}
    chosen = []
    for name in dict.fromkeys(names.split(",")):
        if name not in known:
            raise ValueError(f"no server is called {name!r}; there are {', '.join(known)}")
        if known[name].version is None:
            raise ValueError(f"{name} is not to be had here: {known[name].note}. Remedy: make peers, or --python, or --native")
        chosen.append(known[name])
    return chosen


def shown_command(contender: Contender, args: argparse.Namespace) -> str:
    """How the server is started for the last concurrency, without places of this machine."""
    job = Job(args.model, 0, args.threads, args.concurrency[-1], Path("scratch"))
    variables = [f"{name}={value}" for name, value in contender.environment.items()]
    words = [Path(word).name if "/" in word else word for word in contender.command(job)]
    return shlex.join(variables + words)


def make_notes(args: argparse.Namespace, environment: dict[str, Any], load: float | None) -> list[str]:
    """What a reader must know to judge the figures."""
    dirty = ", with uncommitted changes" if environment["commit_dirty"] else ""
    return [
        f"Measured {datetime.now().astimezone():%Y-%m-%d} on {environment['cpu_model']}, {environment['cpu_count']} "
        f"CPUs usable, {environment['platform']}; load before the run: {load}. Commit {environment['commit']}{dirty}.",
        f"Model {args.model.name}. The model that `make models` makes has synthetic weights: what a server computes "
        "a token does not depend on their values, but the texts mean nothing and say nothing of quality.",
        f"Closed loop of tools/benchlib: {args.requests} requests of {args.max_tokens} tokens a test, /v1/completions, "
        f"temperature 0.7 and {json.dumps(SAMPLING)} in every request; the client shares the CPUs with the server.",
        f"Each server: {args.threads} threads, room for as many requests as there are clients, {CONTEXT} tokens of "
        f"context a request; a fresh process for every test, turns A B A B; {args.rounds} rounds.",
        "Foreign CPU is what neither the server nor the client used, in cores: where it is above 0.1, that test was "
        "disturbed, and servers whose threads spin at barriers suffer most. What the client used counts for the test "
        "(whole or streamed replies) where it used most; below 3 % it is no matter.",
        "A sample counts only if every request got status 200 and exactly the tokens that it asked for.",
        "There are five prompts in turn: servers that keep earlier prompts may skip parts of them. This stays on.",
        "Peers that are built here are built for this CPU; those named -avx2 are wheels for common CPUs.",
    ]


def build_result(args: argparse.Namespace, contenders: Sequence[Contender], chosen: Sequence[Contender],
                 samples: Sequence[Sample], environment: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """The result file's object."""
    table = summarise_samples(samples)
    running = {contender.name for contender in chosen}
    servers = {c.name: {"version": c.version, "note": c.note,
                        "command": shown_command(c, args) if c.name in running else None} for c in contenders}
    return {
        "test_time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "model": args.model.name, "requests": args.requests, "max_tokens": args.max_tokens, "rounds": args.rounds,
        "threads": args.threads, "concurrency": args.concurrency, "stream": args.stream, "sampling": SAMPLING,
        **environment, "notes": list(notes), "servers": servers, "summary": table,
        "ratios": ratios(table, "cllm", (c.name for c in chosen if not c.ours)),
        "samples": [sample.as_dict() for sample in samples],
    }


def compare(args: argparse.Namespace, contenders: Sequence[Contender]) -> int:
    """A whole run; the exit status."""
    try:
        chosen = choose(contenders, args.servers)
        prompts = load_prompts(args.prompts_file)
        if not args.model.is_file():
            raise ValueError(f"{args.model} is not there. Remedy: make models, or --model")
        for path in filter(None, (args.output, args.markdown)):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return EXIT_USAGE
    for contender in contenders:
        print(f"{contender.name}: {contender.version or 'left out'}; {contender.note}")
    environment, load = describe_environment(), machine_load()
    if load is not None and load > BUSY_LOAD:
        print(f"warning: load {load}: another process slows every server down, spinning ones most of all", file=sys.stderr)
    base = Options("openai", "", requests=args.requests, max_tokens=args.max_tokens, endpoint="completions",
                   stream=args.stream, seed=1, timeout=args.timeout, no_progress=True)
    samples = run_all(chosen, base, prompts, args.model.resolve(), args.threads, args.concurrency, args.rounds)
    notes = make_notes(args, environment, load)
    result = build_result(args, contenders, chosen, samples, environment, notes)
    page = write_markdown(result, contenders, notes)
    if args.output:
        write_text(args.output, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    if args.markdown:
        write_text(args.markdown, page)
    print("\n" + page)
    return EXIT_OK if all(sample.good() for sample in samples) else EXIT_FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    args = build_parser().parse_args(argv)
    try:
        return compare(args, all_contenders(args.cllm, args.python, args.native))
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
