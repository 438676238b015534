#!/usr/bin/env python3
"""A server under mixed load for a long time: nothing lost, nothing wrong, nothing that grows.

soak.py --minutes 30                       the report and its plots go to build/soak
soak.py --minutes 1 --server "--kv-type q8_0"   further options of the server

Exit status 0: every verdict passed.
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in ("tests/api", "tests/soak", "tools"):
    sys.path.insert(0, str(ROOT / folder))

from benchlib.environ import describe_environment  # noqa: E402
from kit import SLOW, Server  # noqa: E402
from soak_jobs import make_jobs  # noqa: E402
from soak_judge import Limits, Rest, Verdict, judge_answers, judge_log, judge_rest, judge_samples  # noqa: E402
from soak_load import Load, reference_runs  # noqa: E402
from soak_report import Run, write_report  # noqa: E402
from soak_watch import cpu_seconds, n_descriptors, own_memory, read_samples, watching  # noqa: E402

# Small enough that the queue overflows in every burst and the pool preempts.
FLAGS = ["--max-running", "24", "--max-queue", "40", "--kv-tokens", "2048"]


@dataclass(frozen=True)
class Plan:
    seconds: float
    clients: int = 20
    burst: int = 256  # connections at once
    burst_every_s: float = 20.0
    jobs: int = 64
    most_tokens: int = 32
    seed: int = 1
    idle_s: float = 10.0
    patience_s: float = 120.0 * SLOW
    flags: tuple[str, ...] = ()
    limits: Limits = Limits()


def wait_settled(server: Server, seconds: float = 60) -> None:
    """Until memory stands still: the KV pool is fetched in the background after the start."""
    end, last = time.monotonic() + seconds, -1
    while (now := own_memory(server.process.pid)) != last and time.monotonic() < end:
        last = now
        time.sleep(0.5)


def look_at_rest(server: Server, seconds: float) -> Rest:
    """The idle server, with an open connection that has been used."""
    pid = server.process.pid
    connection = server.connect()
    connection.request("GET", "/health")
    connection.getresponse().read()
    cpu, memory = cpu_seconds(pid), own_memory(pid)
    time.sleep(seconds)
    rest = Rest(n_descriptors(pid), (cpu_seconds(pid) - cpu) / seconds, own_memory(pid) - memory)
    connection.close()
    return rest


def close_and_judge_log(server: Server) -> Verdict:
    try:
        server.close()
    except AssertionError as exc:
        return judge_log([str(exc)])
    return judge_log([])


def soak(plan: Plan, out: Path, command: str) -> Run:
    """The whole run; its report is in `out` afterwards."""
    out.mkdir(parents=True, exist_ok=True)
    flags = [*FLAGS, *plan.flags]
    server = Server(out / "server.log", *flags)
    try:
        server.wait_ready()
        wait_settled(server)
        jobs = make_jobs(plan.jobs, plan.most_tokens)
        load = Load(server.port, jobs, asyncio.run(reference_runs(server.port, jobs, plan.patience_s)), plan.patience_s)
        before = look_at_rest(server, 0.5)
        with watching(server.process.pid, server.port, out / "samples.jsonl"):
            asyncio.run(load.run(plan.seconds, plan.clients, plan.burst, plan.burst_every_s, plan.seed))
        server.wait_idle()
        time.sleep(0.5)  # connections that were just closed
        after = look_at_rest(server, plan.idle_s)
    finally:
        log_verdict = close_and_judge_log(server)
    samples = read_samples(out / "samples.jsonl")
    verdicts = [*judge_answers(load.tally), *judge_samples(samples, plan.limits), *judge_rest(before, after, plan.limits), log_verdict]
    run = Run(command, plan.seconds, describe_environment(), flags, plan.jobs, load.tally, samples, plan.limits.warm_up, verdicts)
    write_report(run, out)
    return run


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="how long the load lasts (default: 30)")
    parser.add_argument("--clients", type=int, default=Plan.clients, help=f"clients at once beside the bursts (default: {Plan.clients})")
    parser.add_argument("--burst", type=int, default=Plan.burst, help=f"connections of a burst (default: {Plan.burst})")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of what the clients do (default: 1)")
    parser.add_argument("--server", default="", metavar="OPTIONS", help="further options of `cllm serve`")
    parser.add_argument("--out", type=Path, default=ROOT / "build/soak", metavar="DIR", help="for the report (default: build/soak)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    args = parse(argv)
    plan = Plan(args.minutes * 60, args.clients, args.burst, seed=args.seed, flags=tuple(shlex.split(args.server)))
    run = soak(plan, args.out, shlex.join(["tests/soak/soak.py", *argv]))
    for verdict in run.verdicts:
        print(f"{'passed' if verdict.passed else 'FAILED'}  {verdict.name}: {verdict.detail}")
    print("\n".join(run.tally.faults))
    print(f"{args.out / 'report.md'}")
    return 0 if run.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
