"""The report's Markdown. Every sentence with a figure in it is computed from the result files."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from .options import DEFAULT_TEMPERATURE, DEFAULT_TIMEOUT, DEFAULT_URLS, DEFAULT_WARMUP
from .report_compare import comparison
from .report_data import Level, change, distinct, miscounted

UNKNOWN = "not recorded"
METHOD = (
    "A closed loop: each client sends its next request as soon as the last one is answered. A request is "
    "successful with HTTP 200 and max_tokens generated tokens, or fewer when the server reports that the "
    "model ended its text. Throughput is the generated tokens of the successful requests divided by the time "
    "from the first start to the last end. Token counts are the server's own."
)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> list[str]:
    """A Markdown table, the first `left` columns flush left, the others right."""
    rule = [":---" if i < left else "---:" for i in range(len(head))]
    return ["| " + " | ".join(map(_cell, row)) + " |" for row in (head, rule, *rows)] + [""]


def fixed(value: float | None, digits: int = 2, scale: float = 1.0) -> str:
    """A number for a table; a dash when there is none."""
    return "–" if value is None else f"{value * scale:.{digits}f}"


def _values(levels: Sequence[Level], name: str) -> str:
    found = distinct(levels, name)
    return ", ".join(str(value) for value in found) if found else UNKNOWN


def _success(level: Level) -> str:
    return f"{level.phase['successful_requests']}/{level.phase['total_requests']}"


def overview(levels: Sequence[Level]) -> list[str]:
    """What was measured and what came out, in one table."""
    total = sum(level.phase["total_requests"] for level in levels)
    good = sum(level.phase["successful_requests"] for level in levels)
    best = max(levels, key=lambda level: level.phase["avg_throughput"])
    times = sorted(distinct(levels, "test_time"))
    when = " to ".join(times[:1] + times[-1:]) if len(times) > 1 else (times[0] if times else UNKNOWN)
    rows = [
        ("Server", _values(levels, "server_type")),
        ("Model", _values(levels, "model")),
        ("Levels of concurrency", ", ".join(level.label for level in levels)),
        ("Successful requests", f"{good} of {total}" + (f" ({good / total:.1%})" if total else "")),
        ("Highest throughput", f"{best.phase['avg_throughput']:.2f} tokens/s at concurrency {best.label}"),
        ("Time of the tests", when),
    ]
    return ["## Overview", "", *table(["Item", "Value"], rows, left=2)]


def configuration(levels: Sequence[Level]) -> list[str]:
    """The options of the runs; fields that differ between files list all their values."""
    streams = {True: "streamed", False: "whole replies"}
    rows = [
        ("Requests a level", _values(levels, "requests")),
        ("max_tokens a request", _values(levels, "max_tokens")),
        ("Replies", ", ".join(streams.get(value, str(value)) for value in distinct(levels, "stream"))
         or UNKNOWN),
        ("Temperature", _values(levels, "temperature")),
        ("Seed", ", ".join(map(str, distinct(levels, "seed"))) or "none given"),
        ("Prompts", _values(levels, "prompts")),
        ("Prompts file", ", ".join(map(str, distinct(levels, "prompts_file"))) or "none (built-in)"),
        ("Warm-up requests", _values(levels, "warmup")),
    ]
    lines = ["## Test configuration", "", *table(["Item", "Value"], rows, left=2)]
    if all(level.number("exact_token_requests") is not None for level in levels):  # our own tool's files
        lines += [METHOD, ""]
    return lines


def results(levels: Sequence[Level], plots: Sequence[str]) -> list[str]:
    """The table of all levels, and the two plots."""
    head = ["Concurrency", "Successful", "Failed", "Throughput (tokens/s)", "Mean response (s)", "p50 (s)",
            "p95 (s)", "Total time (s)"]
    rows = [(f"**{level.label}**", _success(level), level.phase["failed_requests"],
             f"**{level.phase['avg_throughput']:.2f}**", fixed(level.number("avg_response_time")),
             fixed(level.number("p50_response_time")), fixed(level.number("p95_response_time")),
             fixed(level.number("total_test_time"))) for level in levels]
    lines = ["## Results", "", *table(head, rows)]
    for name, title in (("throughput.png", "Throughput against concurrency"),
                        ("latency.png", "Response time against concurrency"),
                        ("latency_distribution.png", "Response times of the single requests")):
        if name in plots:
            lines += [f"![{title}]({name})", ""]
    return lines


def key_figures(levels: Sequence[Level], plots: Sequence[str]) -> list[str]:
    """The trend against the lowest level, the success rates, and what streaming showed."""
    base = levels[0]
    best = max(levels, key=lambda level: level.phase["avg_throughput"])
    rows = [(level.label, fixed(level.number("avg_throughput")),
             "baseline" if level is base else change(base.number("avg_throughput"),
                                                     level.number("avg_throughput")),
             fixed(level.number("avg_response_time")),
             "baseline" if level is base else change(base.number("avg_response_time"),
                                                     level.number("avg_response_time")))
            for level in levels]
    lines = ["## Key figures", "", "### Trend", "",
             *table(["Concurrency", "Throughput (tokens/s)", "Change", "Mean response (s)", "Change"], rows)]
    lines += [f"**Best point**: {best.phase['avg_throughput']:.2f} tokens/s at concurrency {best.label}.", "",
              "### Success", ""]
    for level in levels:
        total, good = level.phase["total_requests"], level.phase["successful_requests"]
        line = f"- Concurrency {level.label}: {_success(level)}" + (f" ({good / total:.1%})" if total else "")
        exact = level.number("exact_token_requests")
        if exact is not None:
            line += f", {exact:g} with exactly max_tokens"
            line += f", {good - exact:g} ended earlier by the model" if good > exact else ""
        lines.append(line)
    lines.append("")
    return lines + _streaming(levels, plots) + _miscounts(levels)


def _streaming(levels: Sequence[Level], plots: Sequence[str]) -> list[str]:
    streamed = [level for level in levels if level.number("ttft.p50") is not None]
    if not streamed:
        return []
    names = [f"{kind}.{part}" for kind in ("ttft", "inter_token_latency") for part in ("p50", "p95", "p99")]
    rows = [(level.label, *(fixed(level.number(name), 1, 1e3) for name in names)) for level in streamed]
    head = ["Concurrency", "TTFT p50 (ms)", "p95", "p99", "Inter-token p50 (ms)", "p95", "p99"]
    lines = ["### Streaming", "", *table(head, rows)]
    if "streaming.png" in plots:
        lines += ["![TTFT and inter-token latency](streaming.png)", ""]
    return lines


def _miscounts(levels: Sequence[Level]) -> list[str]:
    lines = []
    for level in levels:
        real = miscounted(level)
        if real is not None:
            lines += [f"> **Caution**: {level.file_name} states {level.phase['avg_throughput']:.2f} tokens/s "
                      f"at concurrency {level.label}, but its generated tokens divided by its total time are "
                      f"{real:.2f} tokens/s.", ""]
    return lines


def details(levels: Sequence[Level]) -> list[str]:
    """One block a level, with all its figures and errors."""
    lines = ["## Detail per level", ""]
    for level in levels:
        number = level.number
        rows = [("Total requests", fixed(number("total_requests"), 0)),
                ("Successful requests", fixed(number("successful_requests"), 0)),
                ("Failed requests", fixed(number("failed_requests"), 0)),
                ("Mean response time", fixed(number("avg_response_time")) + " s"),
                ("Minimum response time", fixed(number("min_response_time")) + " s"),
                ("Maximum response time", fixed(number("max_response_time")) + " s")]
        if number("p50_response_time") is not None:
            parts = " / ".join(fixed(number(f"p{p}_response_time")) for p in (50, 90, 95, 99))
            rows.append(("p50 / p90 / p95 / p99", parts + " s"))
        rows += [("Throughput", fixed(number("avg_throughput")) + " tokens/s"),
                 ("Generated tokens", fixed(number("total_generated_tokens"), 0)),
                 ("Prompt tokens", fixed(number("total_prompt_tokens"), 0)),
                 ("Total test time", fixed(number("total_test_time")) + " s")]
        errors = level.phase.get("errors")
        rows += [("Error", f"{n} x {e}") for e, n in (errors.items() if isinstance(errors, dict) else ())]
        lines += [f"### Concurrency {level.label}", "", "```"]
        lines += [f"{name + ':':<24}{value.replace('```', '')}" for name, value in rows] + ["```", ""]
    return lines


def environment(levels: Sequence[Level]) -> list[str]:
    """Machine and versions, as far as the files record them."""
    dirty = " (with uncommitted changes)" if True in distinct(levels, "commit_dirty") else ""
    commits = distinct(levels, "commit")
    rows = [("CPU", _values(levels, "cpu_model")), ("CPUs usable", _values(levels, "cpu_count")),
            ("System", _values(levels, "platform")),
            ("Python of the client", _values(levels, "python_version")),
            ("Commit", ", ".join(f"`{commit}`" for commit in commits) + dirty if commits else UNKNOWN)]
    return ["## Environment", "", *table(["Item", "Value"], rows, left=2)]


def command(source: dict[str, Any], file_name: str) -> str:
    """The command line that makes such a file, from the options that it records."""
    kind = source.get("server_type")
    kind = kind if kind in DEFAULT_URLS else "cllm"
    modes = [mode for mode in ("sequential", "concurrent") if source.get(mode) is not None]
    words: list[Any] = ["python3", "tools/unified_benchmark.py", "--server-type", kind]
    if source.get("server_url") not in (None, DEFAULT_URLS[kind]):
        words += ["--server-url", source["server_url"]]
    if kind != "cllm" and source.get("model"):
        words += ["--model", source["model"]]
    if source.get("endpoint") not in (None, "chat"):
        words += ["--endpoint", source["endpoint"]]
    words += ["--test-type", "all" if len(modes) == 2 else f"api-{modes[0]}"]
    for name in ("requests", "concurrency", "max_tokens"):
        if source.get(name) is not None:
            words += ["--" + name.replace("_", "-"), source[name]]
    for name, usual in (("temperature", DEFAULT_TEMPERATURE), ("seed", None), ("warmup", DEFAULT_WARMUP),
                        ("timeout", DEFAULT_TIMEOUT), ("prompts_file", None)):
        if source.get(name) not in (None, usual):
            words += ["--" + name.replace("_", "-"), source[name]]
    words += ["--stream"] if source.get("stream") is True else []
    return shlex.join(map(str, [*words, "--output-file", file_name]))


def commands(levels: Sequence[Level]) -> list[str]:
    """How to repeat the runs."""
    files = {level.file_name: level.source for level in levels}
    lines = ["## Commands", "", "```bash"]
    lines += [command(source, name) for name, source in files.items()] + ["```", ""]
    return lines


def write_report(title: str, notes: Sequence[str], levels: Sequence[Level], earlier: Sequence[Level],
                 plots: Sequence[str]) -> str:
    """The whole report."""
    lines = [f"# {title}", ""]
    for note in notes:
        lines += [f"> **Note**: {' '.join(note.split())}", ""]
    lines += overview(levels) + configuration(levels) + results(levels, plots) + key_figures(levels, plots)
    if earlier:
        lines += comparison(levels, earlier, table) + _miscounts(earlier)
    lines += details(levels) + environment(levels) + commands(levels)
    return "\n".join(lines).rstrip() + "\n"
