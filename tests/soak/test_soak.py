"""The soak test for a few seconds, and its verdicts over made-up figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from soak import Plan, soak
from soak_judge import MIB, Limits, Rest, judge_answers, judge_rest, judge_samples, memory_trend
from soak_load import Tally
from soak_watch import Sample


def sample(i: int, rss: float, health_s: float = 0.001) -> Sample:
    return Sample(float(i), int(rss), 20, health_s, 100 * i, 1000 * i, 3, 0, 3, 9, 0)


def failed(verdicts: object) -> list[str]:
    return [verdict.name for verdict in verdicts if not verdict.passed]  # type: ignore[attr-defined]


def test_memory_that_grows_is_found() -> None:
    leaks = [sample(i, 100 * MIB + i * 100 * 300) for i in range(200)]  # 300 bytes a request
    assert memory_trend(leaks, 0.2).mib_per_10k == pytest.approx(2.86, abs=0.01)
    assert failed(judge_samples(leaks, Limits())) == ["memory stays flat"]
    assert failed(judge_samples(leaks[:100], Limits())) == []  # too few requests to tell
    assert failed(judge_samples([sample(i, 100 * MIB + i * MIB) for i in range(50)], Limits())) == ["memory stays flat"]


def test_warm_up_and_outliers_are_no_growth() -> None:
    calm = [sample(i, (100 + (20 if i >= 30 else i / 2) + (40 if i % 5 == 0 else 0)) * MIB) for i in range(200)]
    assert memory_trend(calm, 0.2).mib_per_10k == 0
    assert failed(judge_samples(calm, Limits())) == []


def test_slow_health_is_found() -> None:
    assert failed(judge_samples([sample(i, MIB, 0.2) for i in range(50)], Limits())) == ["health answers"]
    assert failed(judge_samples([sample(i, MIB, 2.0 if i > 40 else 0.001) for i in range(50)], Limits())) == ["health answers"]


def test_lost_and_wrong_answers_fail() -> None:
    tally = Tally()
    assert failed(judge_answers(tally)) == ["no answer lost"]  # nothing was asked
    tally.done["whole"] = 5
    assert failed(judge_answers(tally)) == []
    tally.fault("whole", "x")
    tally.fault("slow", "y", lost=True)
    assert failed(judge_answers(tally)) == ["no answer lost", "no answer wrong"] and tally.faults == ["whole: x", "slow: y"]


def test_rest() -> None:
    assert failed(judge_rest(Rest(10, 0, 0), Rest(10, 0.001, 0), Limits())) == []
    assert failed(judge_rest(Rest(10, 0, 0), Rest(11, 0.02, 4096), Limits())) == [
        "descriptors come back", "idle costs no CPU", "idle memory stays flat",
    ]  # fmt: skip


def test_short_soak(tmp_path: Path) -> None:
    """All of it at once: load, bursts over the queue, and idleness afterwards, with an open connection."""
    limits = Limits(health_median_s=0.5, health_p99_s=5)  # a machine that does other things too
    run = soak(Plan(9, clients=12, burst=128, burst_every_s=3, jobs=12, most_tokens=16, idle_s=3, limits=limits), tmp_path, "short")
    assert run.passed, [*run.verdicts, *run.tally.faults]
    assert run.tally.refused > 0 and run.tally.done["burst"] > 0 and run.tally.done["leave"] > 0
    assert {path.name for path in tmp_path.iterdir()} >= {"report.md", "throughput.png", "latency.png", "memory.png", "samples.jsonl"}
