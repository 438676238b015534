"""The report of a soak run: Markdown and plots."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from soak_judge import MIB, Verdict, memory_trend, percentile
from soak_load import Tally
from soak_watch import Sample

BLUE, ORANGE, GREY = "#2563a8", "#d97706", "#8a94a0"
BINS = 60


@dataclass(frozen=True)
class Run:
    """All that a report is made of."""

    command: str
    seconds: float
    environment: dict[str, Any]
    flags: Sequence[str]
    n_jobs: int
    tally: Tally
    samples: Sequence[Sample]
    warm_up: float
    verdicts: Sequence[Verdict]

    @property
    def passed(self) -> bool:
        return all(verdict.passed for verdict in self.verdicts)


def _finish(figure: Any, axes: Any, path: Path) -> None:
    axes.set_xlabel("Time (s)")
    axes.set_ylim(bottom=0)
    axes.grid(color="#e3e6ea")
    axes.legend(loc="lower right", frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def _rates(samples: Sequence[Sample], name: str) -> tuple[list[float], list[float]]:
    """A counter's rise per second, over about BINS pieces of the run."""
    kept = samples[:: max(1, len(samples) // BINS)]
    start = samples[0].time
    pairs = list(zip(kept, kept[1:], strict=False))
    return [b.time - start for _, b in pairs], [(getattr(b, name) - getattr(a, name)) / (b.time - a.time) for a, b in pairs]


def plot_throughput(run: Run, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4))
    axes.plot(*_rates(run.samples, "generated"), color=BLUE, label="generated tokens/s")
    times = [sample.time - run.samples[0].time for sample in run.samples]
    axes.plot(times, [sample.running + sample.waiting for sample in run.samples], color=GREY, linewidth=0.8, label="requests running and waiting")
    axes.set_title("Throughput")
    _finish(figure, axes, path)


def plot_latency(run: Run, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4))
    start, width = run.samples[0].time, max(run.seconds / BINS, 1e-9)
    bins: dict[int, list[float]] = {}
    for end, seconds in run.tally.latencies:
        bins.setdefault(int((end - start) / width), []).append(seconds)
    xs = sorted(bins)
    for percent, color in ((50, BLUE), (95, ORANGE)):
        axes.plot([(x + 0.5) * width for x in xs], [percentile(bins[x], percent) for x in xs], color=color, label=f"p{percent}")
    axes.plot([sample.time - start for sample in run.samples], [sample.health_s for sample in run.samples], color=GREY, linewidth=0.8, label="/health")
    axes.set_ylabel("Seconds")
    axes.set_title("Time to the whole answer")
    _finish(figure, axes, path)


def plot_memory(run: Run, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4))
    times = [sample.time - run.samples[0].time for sample in run.samples]
    axes.plot(times, [sample.rss / MIB for sample in run.samples], color=BLUE, label="own resident memory (MiB)")
    axes.plot(times, [sample.descriptors for sample in run.samples], color=GREY, linewidth=0.8, label="descriptors")
    trend = memory_trend(run.samples, run.warm_up)
    axes.set_title(f"Memory: {trend.mib_per_10k:+.2f} MiB per 10,000 requests after warm-up")
    _finish(figure, axes, path)


def _table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _figures(run: Run) -> list[tuple[str, str]]:
    first, last = run.samples[0], run.samples[-1]
    times = [seconds for _, seconds in run.tally.latencies]
    span = last.time - first.time
    rows = [(f"{kind} done", f"{n:,}") for kind, n in sorted(run.tally.done.items())]
    rows += [
        ("refused with 429", f"{run.tally.refused:,}"),
        ("accepted by the engine", f"{last.requests - first.requests:,}"),
        ("generated tokens/s", f"{(last.generated - first.generated) / span:.0f}" if span else "–"),
        ("most requests running and waiting", f"{max(s.running + s.waiting for s in run.samples)}"),
        ("most descriptors", f"{max(s.descriptors for s in run.samples)}"),
        ("preemptions", f"{last.preemptions - first.preemptions:,}"),
    ]
    if times:
        rows.append(("whole answer, median / p99", f"{statistics.median(times):.2f} s / {percentile(times, 99):.2f} s"))
    return rows


def report_text(run: Run) -> str:
    where = run.environment
    lines = [
        f"# Soak: {'passed' if run.passed else 'FAILED'}",
        "",
        f"{run.seconds / 60:.1f} minutes of mixed load: whole answers, streams, kept connections, slow readers, clients that leave at any "
        f"moment, bad input, garbage, bursts. Each accepted answer was compared with its lone run ({run.n_jobs} different requests).",
        "",
        f"Commit {(where['commit'] or 'unknown')[:12]}, {where['cpu_count']} CPUs of {where['cpu_model']}, {where['platform']}.",
        "",
        f"    {run.command}",
        "",
        f"Server: `{' '.join(run.flags)}`.",
        "",
        *_table([("passed" if v.passed else "**FAILED**", v.name, v.detail) for v in run.verdicts], ("", "verdict", "")),
        "",
        *_table(_figures(run), ("figure", "")),
        "",
        "![Throughput](throughput.png)",
        "![Latency](latency.png)",
        "![Memory](memory.png)",
        "",
    ]
    if run.tally.faults:
        lines += ["## Faults", "", *(f"- {fault}" for fault in run.tally.faults), ""]
    return "\n".join(lines)


def write_report(run: Run, out: Path) -> None:
    (out / "report.md").write_text(report_text(run), encoding="utf-8")
    for name, plot in (("throughput", plot_throughput), ("latency", plot_latency), ("memory", plot_memory)):
        plot(run, out / f"{name}.png")
