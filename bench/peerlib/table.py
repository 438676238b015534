"""Medians over the rounds, the ratio to the best peer, and the Markdown text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from benchlib.environ import cpu_count

from .contenders import Contender
from .runner import Sample


def middle(values: Iterable[float | None]) -> dict[str, Any] | None:
    """Median, extremes and the values themselves; None of nothing."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"median": round(median(known), 3), "min": round(min(known), 3), "max": round(max(known), 3), "values": known}


def ttft_p99(sample: Sample) -> float | None:
    """Milliseconds until 99 % of the streams had brought text."""
    return sample.streamed.ttft.p99 * 1e3 if sample.streamed is not None and sample.streamed.ttft is not None else None


def client_percent(sample: Sample) -> float | None:
    """How much of all usable CPUs the client took, in the test where it took most."""
    shares = [p.client_cpu_time / p.total_test_time for p in sample.phases() if p.total_test_time]
    return 100 * max(shares) / (cpu_count() or 1) if shares else None


def cell(samples: Sequence[Sample]) -> dict[str, Any]:
    """The figures of one server at one concurrency: over its good samples, with the bad ones counted."""
    good = [sample for sample in samples if sample.good()]
    wholes = [sample.whole for sample in good if sample.whole is not None]
    prompts = {w.total_prompt_tokens for w in wholes}
    return {
        "samples": len(samples),
        "bad_samples": len(samples) - len(good),
        "throughput": middle(w.avg_throughput for w in wholes),
        "latency_p50_ms": middle(w.p50_response_time * 1e3 for w in wholes if w.p50_response_time is not None),
        "ttft_p99_ms": middle(ttft_p99(sample) for sample in good),
        "seconds_to_healthy": middle(sample.seconds_to_healthy for sample in good),
        "peak_memory_mib": middle(sample.peak_memory_mib for sample in good),
        "foreign_cores": middle(sample.foreign_cores for sample in good),
        "client_cpu_percent": middle(client_percent(sample) for sample in good),
        "prompt_tokens": sorted(p for p in prompts if p is not None),
    }


def summarise_samples(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Cells by concurrency (as text, for JSON) and server, in the order of the samples."""
    table: dict[str, dict[str, Any]] = {}
    for concurrency in dict.fromkeys(sample.concurrency for sample in samples):
        here = [sample for sample in samples if sample.concurrency == concurrency]
        names = dict.fromkeys(sample.server for sample in here)
        table[str(concurrency)] = {name: cell([s for s in here if s.server == name]) for name in names}
    return table


def ratios(table: dict[str, dict[str, Any]], ours: str, peers: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For every concurrency: the best peer by median throughput, and ours divided by it."""
    peers, out = set(peers), {}
    for concurrency, cells in table.items():
        known = {n: c["throughput"]["median"] for n, c in cells.items() if n in peers and c["throughput"] is not None}
        mine = cells.get(ours, {}).get("throughput")
        if known and mine is not None:
            best = max(known, key=lambda name: known[name])
            ratio = round(mine["median"] / known[best], 3) if known[best] > 0 else None
            out[concurrency] = {"best_peer": best, "ratio": ratio}
    return out


def span(value: dict[str, Any] | None, digits: int) -> str:
    """Median and, where there is more than one value, the extremes."""
    if value is None:
        return "n/a"
    text = f"{value['median']:.{digits}f}"
    return text if len(value["values"]) == 1 else f"{text} ({value['min']:.{digits}f}–{value['max']:.{digits}f})"


def rows(title: str, table: dict[str, dict[str, Any]], show: Callable[[dict[str, Any]], str],
         last: tuple[str, Callable[[str], str]] | None = None) -> list[str]:
    """A Markdown table: servers across, concurrencies down."""
    names = list(dict.fromkeys(name for cells in table.values() for name in cells))
    head = ["Clients", *names] + ([last[0]] if last else [])
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---:|" * len(head)]
    for concurrency, cells in table.items():
        line = [concurrency] + [show(cells[name]) if name in cells else "n/a" for name in names]
        lines.append("| " + " | ".join(line + ([last[1](concurrency)] if last else [])) + " |")
    return [*lines, ""]


def throughput_text(figures: dict[str, Any]) -> str:
    """Throughput, and how many samples do not count."""
    bad = f" [{figures['bad_samples']} of {figures['samples']} failed]" if figures["bad_samples"] else ""
    return span(figures["throughput"], 1) + bad


def write_markdown(result: dict[str, Any], contenders: Sequence[Contender], notes: Sequence[str]) -> str:
    """The whole page."""
    table, best = result["summary"], result["ratios"]

    def ratio(concurrency: str) -> str:
        entry = best.get(concurrency)
        return "n/a" if entry is None or entry["ratio"] is None else f"{entry['ratio']:.2f} ({entry['best_peer']})"

    lines = ["# cLLM beside other servers", "", *(f"- {note}" for note in notes), ""]
    lines += rows("Generated tokens/s: median (least–most)", table, throughput_text, ("cllm ÷ best peer", ratio))
    for title, key, digits in (("Time to first token, p99, ms", "ttft_p99_ms", 0),
                               ("Response time, p50, ms", "latency_p50_ms", 0),
                               ("Peak memory (VmHWM), MiB", "peak_memory_mib", 0),
                               ("Start to healthy, s", "seconds_to_healthy", 2),
                               ("Foreign CPU, cores", "foreign_cores", 2),
                               ("Client, % of the CPUs", "client_cpu_percent", 2)):
        if any(c[key] is not None for cells in table.values() for c in cells.values()):
            lines += rows(title, table, lambda figures, key=key, digits=digits: span(figures[key], digits))
    lines += rows("Prompt tokens of a test, as the server counts them", table,
                  lambda figures: ", ".join(map(str, figures["prompt_tokens"])) or "n/a")
    lines += ["### Servers", "", "| Server | Version | Options | Note |", "|---|---|---|---|"]
    for contender in contenders:
        options = result["servers"].get(contender.name, {}).get("command")
        shown = f"`{options}`" if options else ""
        note = contender.note.replace("|", "/")
        lines.append(f"| {contender.name} | {contender.version or 'not used'} | {shown} | {note} |")
    return "\n".join(lines) + "\n"
