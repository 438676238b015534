"""The report's plots. Needs matplotlib; the same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, NullLocator

from .report_data import Level
from .stats import mean

BLUE, ORANGE, GREEN, GREY = "#2563a8", "#d97706", "#2f855a", "#8a94a0"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.markersize": 6,
}
MAX_DOTS = 500  # above this many requests a level's single dots say nothing


def _curve(levels: Sequence[Level], name: str, scale: float = 1.0) -> tuple[list[int], list[float]]:
    """A figure against concurrency; repeats of a level are averaged."""
    points: dict[int, list[float]] = {}
    for level in levels:
        value = level.number(name)
        if value is not None:
            points.setdefault(level.concurrency, []).append(value * scale)
    xs = sorted(points)
    return xs, [mean(points[x]) for x in xs]


def _concurrency_axis(axes: Any, levels: Sequence[Level]) -> None:
    xs = sorted({level.concurrency for level in levels})
    if xs[-1] > 16 * xs[0]:
        axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(xs))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    axes.set_xlabel("Concurrency (clients)")


def _finish(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def plot_throughput(levels: Sequence[Level], earlier: Sequence[Level], path: Path) -> None:
    """Tokens a second against concurrency, the earlier runs in grey."""
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    if earlier:
        xs, ys = _curve(earlier, "avg_throughput")
        axes.plot(xs, ys, color=GREY, marker="s", linestyle="--", label="earlier runs")
    xs, ys = _curve(levels, "avg_throughput")
    axes.plot(xs, ys, color=BLUE, marker="o", label="this run")
    for x, y in zip(xs, ys):
        axes.annotate(f"{y:.1f}", (x, y), textcoords="offset points", xytext=(0, 8), ha="center", color=BLUE)
    axes.set_ylabel("Throughput (generated tokens/s)")
    axes.set_title("Throughput against concurrency")
    highest = max([*ys, *(level.phase["avg_throughput"] for level in earlier)])
    axes.set_ylim(0, highest * 1.15 or 1)  # room for the figures above the dots
    _concurrency_axis(axes, [*levels, *earlier])
    if earlier:
        axes.legend(loc="best")
    _finish(figure, path)


def plot_latency(levels: Sequence[Level], earlier: Sequence[Level], path: Path) -> None:
    """Response time against concurrency: mean, p95 and the range from fastest to slowest."""
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    xs, low = _curve(levels, "min_response_time")
    _, high = _curve(levels, "max_response_time")
    axes.fill_between(xs, low, high, color=BLUE, alpha=0.13, linewidth=0, label="min to max")
    if earlier:
        axes.plot(*_curve(earlier, "avg_response_time"), color=GREY, marker="s", linestyle="--",
                  label="mean, earlier runs")
    p95 = _curve(levels, "p95_response_time")
    if p95[0]:
        axes.plot(*p95, color=ORANGE, marker="^", label="p95")
    axes.plot(*_curve(levels, "avg_response_time"), color=BLUE, marker="o", label="mean")
    axes.set_ylabel("Response time (s)")
    axes.set_title("Response time against concurrency")
    axes.set_ylim(bottom=0)
    _concurrency_axis(axes, [*levels, *earlier])
    axes.legend(loc="upper left")
    _finish(figure, path)


def plot_distribution(levels: Sequence[Level], path: Path) -> None:
    """Every request's response time, level by level."""
    logged = [level for level in levels if level.latencies]
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    axes.boxplot([level.latencies for level in logged], positions=range(len(logged)), widths=0.5,
                 whis=(5, 95), showfliers=False, patch_artist=True,
                 boxprops={"facecolor": "#dbe7f4", "edgecolor": BLUE}, medianprops={"color": ORANGE},
                 whiskerprops={"color": BLUE}, capprops={"color": BLUE})
    for place, level in enumerate(logged):
        if len(level.latencies) <= MAX_DOTS:
            # Spread sideways by the golden ratio: even, and the same in every run.
            shifts = [((i * 0.618034) % 1 - 0.5) * 0.36 for i in range(len(level.latencies))]
            axes.plot([place + shift for shift in shifts], level.latencies, ".", color=BLUE, alpha=0.45,
                      markersize=4, zorder=3)
    axes.set_xticks(range(len(logged)), [level.label for level in logged])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("Concurrency (clients)")
    axes.set_ylabel("Response time (s)")
    axes.set_title("Response times of the single requests")
    axes.annotate("box: quartiles and median, whiskers: p5 to p95", (1, 0.02), xycoords="axes fraction",
                  ha="right", color="#666666", fontsize=9)
    axes.set_ylim(bottom=0)
    _finish(figure, path)


def plot_streaming(levels: Sequence[Level], path: Path) -> None:
    """Time to first token and inter-token latency against concurrency."""
    figure, pair = plt.subplots(1, 2, figsize=(9.6, 4.0))
    panels = (("ttft", "Time to first token"), ("inter_token_latency", "Inter-token latency"))
    for axes, (name, title) in zip(pair, panels):
        for part, color, marker in (("p50", BLUE, "o"), ("p95", ORANGE, "^"), ("p99", GREEN, "v")):
            axes.plot(*_curve(levels, f"{name}.{part}", 1e3), color=color, marker=marker, label=part)
        axes.set_title(title)
        axes.set_ylabel("Milliseconds")
        axes.set_ylim(bottom=0)
        _concurrency_axis(axes, [level for level in levels if level.number(f"{name}.p50") is not None]
                          or levels)
        axes.legend(loc="upper left")
    _finish(figure, path)


def draw_plots(levels: Sequence[Level], earlier: Sequence[Level], out: Path) -> list[str]:
    """Draw every plot that the data allow into the folder `out`; their file names."""
    wanted: list[tuple[str, bool, Callable[[Path], None]]] = [
        ("throughput.png", True, lambda path: plot_throughput(levels, earlier, path)),
        ("latency.png", True, lambda path: plot_latency(levels, earlier, path)),
        ("latency_distribution.png", any(level.latencies for level in levels),
         lambda path: plot_distribution(levels, path)),
        ("streaming.png", any(level.number("ttft.p50") is not None for level in levels),
         lambda path: plot_streaming(levels, path)),
    ]
    with plt.rc_context(STYLE):
        for name, possible, draw in wanted:
            if possible:
                draw(out / name)
    return [name for name, possible, _ in wanted if possible]
