"""The command line of `unified_benchmark.py`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_URLS = {
    "cllm": "http://localhost:8080",
    "openai": "http://localhost:8080",
    "ollama": "http://localhost:11434",
}
DEFAULT_TEMPERATURE = 0.7
DEFAULT_WARMUP = 1
DEFAULT_TIMEOUT = 300.0


@dataclass
class Options:
    """One run, fully decided: defaults are filled in, numbers are in range."""

    server_type: str
    server_url: str
    model: str | None = None
    test_type: str = "all"
    requests: int = 72
    concurrency: int = 8
    max_tokens: int = 50
    output_file: str | None = None
    prompts_file: str | None = None
    request_log: str | None = None
    endpoint: str = "chat"
    stream: bool = False
    temperature: float = DEFAULT_TEMPERATURE
    seed: int | None = None
    warmup: int = DEFAULT_WARMUP
    timeout: float = DEFAULT_TIMEOUT
    api_key: str | None = None
    no_progress: bool = False


def _at_least(low: int):
    """An argparse type: an integer not below `low`."""

    def convert(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        return value

    convert.__name__ = "int"
    return convert


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


def _temperature(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a temperature (0 or more)")
    return value


def _url(text: str) -> str:
    parts = urlsplit(text)
    try:
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise argparse.ArgumentTypeError(f"{text} is not a URL such as http://localhost:8080")
    url = text.rstrip("/")
    return url[:-3] if url.endswith("/v1") else url


def build_parser() -> argparse.ArgumentParser:
    """The parser; kept apart from `parse_options` so that tests can look at its defaults."""
    parser = argparse.ArgumentParser(
        description="Measure an LLM server over HTTP: closed loop, honest token counts.",
        epilog="Exit status: 0 all requests succeeded, 1 some failed, 2 wrong usage, 3 server not healthy.",
    )
    add = parser.add_argument
    add("--server-type", required=True, choices=sorted(DEFAULT_URLS), help="the API that the server speaks")
    add("--server-url", type=_url, help="default: http://localhost:8080, port 11434 for ollama")
    add("--model", help="model name for ollama and openai (default: the first that the server lists)")
    add("--test-type", default="all", choices=["all", "api-sequential", "api-concurrent"],
        help="default: all")
    add("--requests", type=_at_least(1), default=72, help="requests a test (default: 72)")
    add("--concurrency", type=_at_least(1), default=8, help="clients of the concurrent test (default: 8)")
    add("--max-tokens", type=_at_least(1), default=50, help="tokens to generate a request (default: 50)")
    add("--output-file", metavar="FILE", help="write the result as JSON")
    add("--prompts-file", metavar="FILE", help="one prompt a line (default: five built-in sentences)")
    add("--request-log", metavar="FILE",
        help="one JSON line a request (default: beside --output-file, suffix .requests.jsonl)")
    add("--endpoint", default="chat", choices=["chat", "completions"],
        help="openai only: /v1/chat/completions or /v1/completions (default: chat)")
    add("--stream", action="store_true", help="stream the replies: measures TTFT and inter-token latency")
    add("--temperature", type=_temperature, default=DEFAULT_TEMPERATURE, help="default: 0.7")
    add("--seed", type=_at_least(0), help="request i is sent with seed + i (default: the server's choice)")
    add("--warmup", type=_at_least(0), default=DEFAULT_WARMUP, metavar="N",
        help="short requests before the test, not counted (default: 1)")
    add("--timeout", type=_seconds, default=DEFAULT_TIMEOUT, help="seconds a request may take (default: 300)")
    add("--api-key", help="sent as a bearer token; never written anywhere")
    add("--no-progress", action="store_true", help="no progress bar")
    return parser


def parse_options(argv: list[str] | None = None) -> Options:
    """Parse `argv` (default: the process's own); exits with 2 and a message on wrong usage."""
    options = Options(**vars(build_parser().parse_args(argv)))
    if options.server_url is None:
        options.server_url = DEFAULT_URLS[options.server_type]
    options.output_file = options.output_file or None
    options.request_log = options.request_log or None
    if options.request_log is None and options.output_file is not None:
        options.request_log = str(Path(options.output_file).with_suffix(".requests.jsonl"))
    return options
