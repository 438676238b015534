#!/usr/bin/env python3
"""Benchmark of an LLM server over HTTP: cLLM's native API, Ollama, or any OpenAI-compatible server.

    python3 tools/unified_benchmark.py --server-type cllm --test-type api-concurrent \\
        --requests 72 --concurrency 8 --max-tokens 50

Needs the standard library only. Exit status: 0 all requests succeeded, 1 some failed, 2 wrong usage,
3 the server is not healthy, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchlib.environ import describe_environment
from benchlib.health import HealthError, check_health
from benchlib.loop import ClosedLoop, warm_up
from benchlib.options import Options, parse_options
from benchlib.prompts import load_prompts
from benchlib.protocols import Protocol, make_protocol
from benchlib.result import PhaseResult, build_result, log_lines, write_text
from benchlib.summary import describe_phase, describe_run

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_UNHEALTHY, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


def prepare_files(options: Options) -> None:
    """Make the folders of the output files, so that a long run does not end in a path that is not there."""
    for path in (options.output_file, options.request_log):
        if path is None:
            continue
        if Path(path).is_dir():
            raise ValueError(f"{path} is a folder: name a file")
        Path(path).parent.mkdir(parents=True, exist_ok=True)


def plan(options: Options) -> list[tuple[str, int]]:
    """The tests to run: name and number of workers."""
    tests = [("sequential", 1), ("concurrent", options.concurrency)]
    return [test for test in tests if options.test_type in ("all", "api-" + test[0])]


def measure(options: Options, protocol: Protocol,
            prompts: list[str]) -> tuple[dict[str, PhaseResult], list[str]]:
    """Warm up and run the planned tests; their figures, and the lines of the request log."""
    warm_up(options, protocol)
    phases: dict[str, PhaseResult] = {}
    log: list[str] = []
    for name, workers in plan(options):
        loop = ClosedLoop(options, protocol, prompts, workers)
        phases[name] = loop.run(name)
        log += log_lines(name, loop.records)
        print("\n" + describe_phase(name, workers, phases[name]), flush=True)
    return phases, log


def run(options: Options) -> int:
    """One whole run; returns the exit status."""
    try:
        prompts = load_prompts(options.prompts_file)
        prepare_files(options)
    except (OSError, ValueError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return EXIT_USAGE
    protocol = make_protocol(options)
    try:
        protocol.model = check_health(options, protocol)
    except HealthError as exc:
        print(f"error: health check failed: {exc}", file=sys.stderr)
        return EXIT_UNHEALTHY
    print(describe_run(options, protocol.model), flush=True)
    environment = describe_environment()
    phases, log = measure(options, protocol, prompts)
    try:
        if options.request_log is not None:
            write_text(options.request_log, "".join(line + "\n" for line in log))
        if options.output_file is not None:
            result = build_result(options, protocol.model, phases, len(prompts), environment)
            write_text(options.output_file, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
            print(f"\nResult: {options.output_file}")
    except OSError as exc:
        print(f"error: cannot write the result: {exc}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_FAILED if any(phase.failed_requests for phase in phases.values()) else EXIT_OK


def main() -> int:
    """Entry point."""
    try:
        return run(parse_options())
    except KeyboardInterrupt:
        print("\ninterrupted: nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
