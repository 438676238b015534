"""What a run prints for people."""

from __future__ import annotations

from .options import Options
from .result import PhaseResult, Spread


def _line(name: str, value: str) -> str:
    return f"{name + ':':<23}{value}"


def _milliseconds(values: Spread) -> str:
    return (f"avg {values.avg * 1e3:.1f} ms, p50 {values.p50 * 1e3:.1f} ms, p95 {values.p95 * 1e3:.1f} ms, "
            f"p99 {values.p99 * 1e3:.1f} ms")


def describe_run(options: Options, model: str | None) -> str:
    """The heading: what is about to be measured."""
    mode = "streaming" if options.stream else "whole replies"
    return (f"{options.server_type} at {options.server_url}, model {model or 'not named by the server'}, "
            f"{options.requests} requests, {options.max_tokens} tokens each, {mode}")


def describe_phase(name: str, workers: int, phase: PhaseResult) -> str:
    """The block of one test."""
    lines = [
        f"=== {name} test, concurrency {workers} ===",
        _line("Total requests", str(phase.total_requests)),
        _line("Successful requests", str(phase.successful_requests)),
        _line("Failed requests", str(phase.failed_requests)),
        _line("Average response time", f"{phase.avg_response_time:.2f}s"),
        _line("Minimum response time", f"{phase.min_response_time:.2f}s"),
        _line("Maximum response time", f"{phase.max_response_time:.2f}s"),
    ]
    if phase.p50_response_time is not None:
        lines.append(_line("Response time p50/p95", f"{phase.p50_response_time:.2f}s / "
                                                    f"{phase.p95_response_time:.2f}s"))
    lines += [
        _line("Throughput", f"{phase.avg_throughput:.2f} tokens/sec"),
        _line("Generated tokens", f"{phase.total_generated_tokens} ({phase.exact_token_requests} requests "
                                  "with exactly max_tokens)"),
    ]
    if phase.total_prompt_tokens is not None:
        lines.append(_line("Prompt tokens", str(phase.total_prompt_tokens)))
    if phase.ttft is not None:
        lines.append(_line("Time to first token", _milliseconds(phase.ttft)))
    if phase.inter_token_latency is not None:
        lines.append(_line("Inter-token latency", _milliseconds(phase.inter_token_latency)))
    lines.append(_line("Total test time", f"{phase.total_test_time:.2f}s"))
    for error, count in list(phase.errors.items())[:5]:
        lines.append(_line("Error", f"{count} x {error}"))
    if len(phase.errors) > 5:
        lines.append(_line("Error", f"and {len(phase.errors) - 5} other kinds"))
    return "\n".join(lines)
