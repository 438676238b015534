"""The verdicts over a finished run: plain functions of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from soak_load import Tally
from soak_watch import Sample

MIB = 1 << 20
MOST_POINTS = 300  # of the regression, which looks at every pair


@dataclass(frozen=True)
class Limits:
    warm_up: float = 0.2  # share of the samples before memory counts
    memory_mib_per_10k: float = 1.0  # requests
    memory_judged_from: int = 10_000  # requests after warm-up; a shorter run only has
    memory_short_mib: float = 16.0  # room for the peaks of its first bursts
    health_median_s: float = 0.05
    health_p99_s: float = 0.5
    idle_cpu: float = 0.01  # of one CPU


@dataclass(frozen=True)
class Verdict:
    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Rest:
    """The server before or after the load, doing nothing."""

    descriptors: int
    cpu: float  # share of one CPU
    growth: int  # bytes, over the time looked at


@dataclass(frozen=True)
class MemoryTrend:
    bytes_per_request: float
    requests: int  # in the span looked at

    @property
    def mib_per_10k(self) -> float:
        return self.bytes_per_request * 10_000 / MIB

    @property
    def growth_mib(self) -> float:
        return self.bytes_per_request * self.requests / MIB


def memory_trend(samples: Sequence[Sample], warm_up: float) -> MemoryTrend:
    """The median slope of all pairs of samples (Theil–Sen): a third of them may be outliers."""
    kept = samples[int(len(samples) * warm_up) :]
    kept = kept[:: max(1, len(kept) // MOST_POINTS)]
    slopes = [(b.rss - a.rss) / (b.requests - a.requests) for a, b in combinations(kept, 2) if b.requests > a.requests]
    if not slopes:
        return MemoryTrend(0.0, 0)
    return MemoryTrend(statistics.median(slopes), kept[-1].requests - kept[0].requests)


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def judge_answers(tally: Tally) -> Iterator[Verdict]:
    total = sum(tally.done.values())
    yield Verdict("no answer lost", tally.lost == 0 and total > 0, f"{tally.lost} lost of {total + tally.lost + tally.wrong + tally.refused}")
    yield Verdict("no answer wrong", tally.wrong == 0, f"{tally.wrong} wrong")


def judge_samples(samples: Sequence[Sample], limits: Limits) -> Iterator[Verdict]:
    trend = memory_trend(samples, limits.warm_up)
    long = trend.requests >= limits.memory_judged_from
    grows = trend.mib_per_10k >= limits.memory_mib_per_10k if long else trend.growth_mib >= limits.memory_short_mib
    yield Verdict("memory stays flat", not grows, f"{trend.mib_per_10k:+.2f} MiB per 10,000 requests, {trend.growth_mib:+.2f} MiB over {trend.requests} requests")
    times = [sample.health_s for sample in samples]
    median, p99 = statistics.median(times), percentile(times, 99)
    yield Verdict("health answers", median <= limits.health_median_s and p99 <= limits.health_p99_s, f"median {median * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms")


def judge_rest(before: Rest, after: Rest, limits: Limits) -> Iterator[Verdict]:
    yield Verdict("descriptors come back", after.descriptors <= before.descriptors, f"{before.descriptors} before, {after.descriptors} after")
    yield Verdict("idle costs no CPU", after.cpu < limits.idle_cpu, f"{after.cpu * 100:.3f} % of one CPU")
    yield Verdict("idle memory stays flat", after.growth <= 0, f"{after.growth} bytes")


def judge_log(bad_lines: Sequence[str]) -> Verdict:
    return Verdict("nothing above info in the log", not bad_lines, f"{len(bad_lines)} lines" + "".join(f"; {line[:200]}" for line in bad_lines[:3]))
