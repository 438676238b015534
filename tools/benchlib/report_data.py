"""Reading result files for the report: this tool's, and older ones that hold fewer fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NEEDED = ("total_requests", "successful_requests", "failed_requests", "avg_response_time",
          "min_response_time", "max_response_time", "avg_throughput", "total_test_time")


class ReportError(Exception):
    """An input cannot be used; the message names the file, the cause and the remedy."""


@dataclass
class Level:
    """One test of one file: all figures at one number of clients."""

    mode: str  # "sequential" or "concurrent"
    concurrency: int
    phase: dict[str, Any]
    source: dict[str, Any]
    file_name: str
    latencies: list[float] = field(default_factory=list)  # of the successes; empty without a request log
    repeat: int = 0  # 2, 3 … for further runs of the same level

    @property
    def label(self) -> str:
        """How the level is called in tables and plots."""
        text = "1 (sequential)" if self.mode == "sequential" else str(self.concurrency)
        return f"{text}, run {self.repeat}" if self.repeat else text

    @property
    def key(self) -> tuple[bool, int]:
        """What makes two levels comparable, in the order of the tables."""
        return (self.mode != "sequential", self.concurrency)

    def number(self, name: str) -> float | None:
        """A figure of the phase; `ttft.p95` looks inside a spread; None when it is not there."""
        value: Any = self.phase
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _read_latencies(path: Path, source: dict[str, Any]) -> dict[str, list[float]]:
    """Response times of the successes by test, from the request log beside a result file."""
    named = source.get("request_log")
    log = path.parent / named if isinstance(named, str) else path.with_suffix(".requests.jsonl")
    latencies: dict[str, list[float]] = {}
    if not log.is_file():
        return latencies
    try:
        for line in log.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["error"] is None:
                latencies.setdefault(record["test"], []).append(record["end"] - record["start"])
    except (ValueError, KeyError, TypeError) as exc:
        raise ReportError(f"{log.name} is not a request log of unified_benchmark.py ({exc!r}). "
                          "Remedy: move it away, or run the benchmark again") from exc
    return latencies


def load_file(path: Path) -> list[Level]:
    """The one or two tests of a result file."""
    try:
        source = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ReportError(f"cannot read {path}: {exc.strerror}. Remedy: check the path") from exc
    except ValueError as exc:
        raise ReportError(f"{path} is not JSON ({exc}). Remedy: pass files written by --output-file") from exc
    if not isinstance(source, dict) or not isinstance(source.get("concurrency"), int):
        raise ReportError(f"{path} is not a benchmark result. Remedy: pass files written by --output-file")
    latencies = _read_latencies(path, source)
    levels = []
    for mode in ("sequential", "concurrent"):
        phase = source.get(mode)
        if phase is None:
            continue
        missing = [name for name in NEEDED
                   if not isinstance(phase, dict) or not isinstance(phase.get(name), (int, float))]
        if missing:
            raise ReportError(f"{path}: {mode} lacks {', '.join(missing)}. Remedy: run the benchmark again")
        concurrency = 1 if mode == "sequential" else source["concurrency"]
        levels.append(Level(mode, concurrency, phase, source, path.name, latencies.get(mode, [])))
    if not levels:
        raise ReportError(f"{path} holds no test. Remedy: run the benchmark again")
    return levels


def load_levels(paths: Iterable[Path]) -> list[Level]:
    """The tests of several files, lowest concurrency first, repeats in the order given."""
    levels = [level for path in paths for level in load_file(path)]
    levels.sort(key=lambda level: level.key)
    seen: dict[tuple[bool, int], int] = {}
    for level in levels:
        seen[level.key] = seen.get(level.key, 0) + 1
        level.repeat = seen[level.key] if seen[level.key] > 1 else 0
    return levels


def distinct(levels: Sequence[Level], name: str) -> list[Any]:
    """The different values of a field of the files, in order; absent and null ones are left out."""
    values: list[Any] = []
    for level in levels:
        value = level.source.get(name)
        if value is not None and value not in values:
            values.append(value)
    return values


def change(old: float | None, new: float | None) -> str:
    """The change from `old` to `new` in percent; a dash where there is none."""
    if old is None or new is None or old <= 0:
        return "–"
    return f"{(new / old - 1) * 100:+.1f} %"


def miscounted(level: Level) -> float | None:
    """Generated tokens / total time, when it is more than 1 % off the throughput that the file states."""
    tokens, seconds = level.number("total_generated_tokens"), level.number("total_test_time")
    if tokens is None or not seconds:
        return None
    real, stated = tokens / seconds, level.phase["avg_throughput"]
    return real if abs(real - stated) > 0.01 * max(real, stated) else None
