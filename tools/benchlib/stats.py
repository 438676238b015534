"""Figures from the records of one test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from .result import PhaseResult, RequestRecord, Spread

PERCENTILES = (50, 90, 95, 99)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The percentile of ascending values, interpolated linearly between the two nearest."""
    if not ordered:
        raise ValueError("no values")
    rank = (len(ordered) - 1) * percent / 100.0
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; 0 of nothing."""
    return math.fsum(values) / len(values) if values else 0.0


def spread(values: Iterable[float]) -> Spread | None:
    """Mean, extremes and percentiles; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    p50, p90, p95, p99 = (round(percentile(ordered, p), 6) for p in PERCENTILES)
    return Spread(avg=round(mean(ordered), 6), min=round(ordered[0], 6), max=round(ordered[-1], 6),
                  p50=p50, p90=p90, p95=p95, p99=p99)


def summarise(records: Sequence[RequestRecord], max_tokens: int, client_cpu_time: float = 0.0) -> PhaseResult:
    """All figures of one test.

    Times and rates are over the successful requests; the total time runs from the first start to the last
    end of all of them, so failed requests cost throughput and never add to it.
    """
    good = [record for record in records if record.error is None]
    latency = spread(record.latency for record in good)
    generated = sum(record.tokens or 0 for record in good)
    counted = [record.prompt_tokens for record in good if record.prompt_tokens is not None]
    prompt_total = sum(counted) if good and len(counted) == len(good) else None
    total_time = max(r.end for r in records) - min(r.start for r in records) if records else 0.0
    rates = [(record.tokens or 0) / record.latency for record in good if record.latency > 0]
    errors = Counter(record.error for record in records if record.error is not None)
    return PhaseResult(
        total_requests=len(records),
        successful_requests=len(good),
        failed_requests=len(records) - len(good),
        avg_response_time=latency.avg if latency else 0.0,
        min_response_time=latency.min if latency else 0.0,
        max_response_time=latency.max if latency else 0.0,
        avg_throughput=round(generated / total_time, 6) if total_time > 0 else 0.0,
        avg_tokens_per_second=round(mean(rates), 6),
        total_tokens_processed=generated + sum(counted),
        total_generated_tokens=generated,
        avg_generated_tokens=round(generated / len(good), 6) if good else 0.0,
        total_test_time=round(total_time, 6),
        p50_response_time=latency.p50 if latency else None,
        p90_response_time=latency.p90 if latency else None,
        p95_response_time=latency.p95 if latency else None,
        p99_response_time=latency.p99 if latency else None,
        exact_token_requests=sum(record.tokens == max_tokens for record in good),
        total_prompt_tokens=prompt_total,
        ttft=spread(record.ttft for record in good if record.ttft is not None),
        inter_token_latency=spread(gap for record in good for gap in record.gaps),
        client_cpu_time=round(client_cpu_time, 6),
        errors=dict(sorted(errors.items(), key=lambda item: (-item[1], item[0]))),
    )
