"""The report's comparison with earlier runs: figures side by side, and whether they are comparable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .report_data import Level, change, distinct

# What must be equal for a change to mean anything, and how it is called.
CONDITIONS = {
    "server_type": "server",
    "model": "model",
    "requests": "requests",
    "max_tokens": "max_tokens",
    "stream": "streaming",
    "endpoint": "endpoint",
    "temperature": "temperature",
    "seed": "seed",
    "prompts": "number of prompts",
    "prompts_file": "prompts file",
    "cpu_model": "CPU",
    "cpu_count": "number of CPUs",
}


def _rate(level: Level) -> str:
    total = level.phase["total_requests"]
    return f"{level.phase['successful_requests'] / total:.1%}" if total else "–"


def _rows(levels: Sequence[Level], earlier: Sequence[Level]) -> list[tuple[Any, ...]]:
    rows = []
    for new in levels:
        for old in (level for level in earlier if level.key == new.key):
            rows.append((
                new.label, old.file_name,
                f"{old.phase['avg_throughput']:.2f}", f"{new.phase['avg_throughput']:.2f}",
                f"**{change(old.number('avg_throughput'), new.number('avg_throughput'))}**",
                f"{old.phase['avg_response_time']:.2f}", f"{new.phase['avg_response_time']:.2f}",
                f"**{change(old.number('avg_response_time'), new.number('avg_response_time'))}**",
                f"{_rate(old)} → {_rate(new)}",
            ))
    return rows


def _differences(levels: Sequence[Level], earlier: Sequence[Level]) -> list[str]:
    lines, unknown = [], []
    for name, title in CONDITIONS.items():
        new, old = distinct(levels, name), distinct(earlier, name)
        if not old and new and name not in ("seed", "prompts_file", "endpoint"):
            unknown.append(title)
        elif new != old and sorted(map(str, new)) != sorted(map(str, old)):
            texts = (", ".join(map(str, values)) or "none" for values in (old, new))
            lines.append("- {}: {} earlier, {} now".format(title, *texts))
    if lines:
        lines = ["The conditions were not the same, so the changes above are not due to one cause:", "",
                 *lines, ""]
    if unknown:
        lines += [f"Not recorded in the earlier files: {', '.join(unknown)}.", ""]
    return lines or ["All recorded conditions (server, model, workload, CPU) are the same.", ""]


def comparison(levels: Sequence[Level], earlier: Sequence[Level],
               table: Callable[..., list[str]]) -> list[str]:
    """The section: one row for each pair of runs at the same concurrency."""
    head = ["Concurrency", "Earlier file", "Earlier (tokens/s)", "Now (tokens/s)", "Change",
            "Earlier mean response (s)", "Now (s)", "Change", "Success"]
    lines = ["## Comparison with earlier runs", ""]
    rows = _rows(levels, earlier)
    lines += table(head, rows, left=2) if rows else []
    known = {level.key for level in earlier}
    alone = [level.label for level in levels if level.key not in known]
    if alone:
        lines += [f"No earlier run at concurrency {', '.join(alone)}.", ""]
    return lines + _differences(levels, earlier)
