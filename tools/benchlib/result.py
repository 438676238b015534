"""What a run leaves behind: one record a request, one summary a test, two files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .options import Options


@dataclass
class RequestRecord:
    """One request; times are seconds of the client's monotonic clock."""

    index: int
    prompt_index: int
    start: float = 0.0
    end: float = 0.0
    status: int | None = None  # None: no HTTP reply
    tokens: int | None = None
    prompt_tokens: int | None = None
    finish_reason: str | None = None
    ttft: float | None = None
    error: str | None = None  # None: success
    gaps: list[float] = field(default_factory=list)  # seconds between the text events of a stream

    @property
    def latency(self) -> float:
        """Seconds from sending to the last byte."""
        return self.end - self.start


@dataclass
class Spread:
    """How a set of values lies (seconds)."""

    avg: float
    min: float
    max: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass
class PhaseResult:
    """The figures of one test, in the order of the result file. Seconds, tokens, tokens a second."""

    total_requests: int
    successful_requests: int
    failed_requests: int
    avg_response_time: float
    min_response_time: float
    max_response_time: float
    avg_throughput: float  # generated tokens of the successes / total_test_time
    avg_tokens_per_second: float  # mean over the successes of tokens / response time
    total_tokens_processed: int  # generated tokens and, where the server counts them, prompt tokens
    total_generated_tokens: int
    avg_generated_tokens: float
    total_test_time: float  # last end - first start
    p50_response_time: float | None
    p90_response_time: float | None
    p95_response_time: float | None
    p99_response_time: float | None
    exact_token_requests: int  # successes with exactly max_tokens; the rest ended by a reported stop
    total_prompt_tokens: int | None  # None: the server does not count them
    ttft: Spread | None  # None: not streamed
    inter_token_latency: Spread | None
    client_cpu_time: float  # CPU seconds that the benchmark itself used
    errors: dict[str, int]


def build_result(options: Options, model: str | None, phases: dict[str, PhaseResult], n_prompts: int,
                 environment: dict[str, Any]) -> dict[str, Any]:
    """The result file's object. The names up to `concurrent` are the ones users' scripts rely on."""
    result: dict[str, Any] = {
        "test_time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "server_type": options.server_type,
        "server_url": options.server_url,
        "model": model,
        "requests": options.requests,
        "concurrency": options.concurrency,
        "max_tokens": options.max_tokens,
    }
    for name in ("sequential", "concurrent"):
        result[name] = asdict(phases[name]) if name in phases else None
    result.update(
        test_type=options.test_type,
        endpoint=options.endpoint if options.server_type == "openai" else None,
        stream=options.stream,
        temperature=options.temperature,
        seed=options.seed,
        warmup=options.warmup,
        timeout=options.timeout,
        prompts=n_prompts,
        prompts_file=Path(options.prompts_file).name if options.prompts_file else None,
        request_log=_relative_log(options),
        **environment,
    )
    return result


def _relative_log(options: Options) -> str | None:
    """The request log's path as seen from the result file, so that the pair can be moved together."""
    if options.request_log is None or options.output_file is None:
        return None
    return Path(os.path.relpath(options.request_log, Path(options.output_file).parent)).as_posix()


def log_lines(test: str, records: Iterable[RequestRecord]) -> list[str]:
    """The request log of one test; times count from its first start."""
    records = list(records)
    origin = min((record.start for record in records), default=0.0)
    lines = []
    for record in records:
        line: dict[str, Any] = {
            "test": test,
            "index": record.index,
            "prompt_index": record.prompt_index,
            "start": round(record.start - origin, 6),
            "end": round(record.end - origin, 6),
            "status": record.status,
            "tokens": record.tokens,
            "prompt_tokens": record.prompt_tokens,
            "finish_reason": record.finish_reason,
            "ttft": None if record.ttft is None else round(record.ttft, 6),
            "error": record.error,
        }
        lines.append(json.dumps(line, ensure_ascii=False))
    return lines


def write_text(path: str, text: str) -> None:
    """Write a file whole: never a torn one, even when the run is killed while writing."""
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, target)
