"""A process beside the load that looks at the server once a second, so that a busy client does not blur its clock."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

EVERY_S = 1.0


@dataclass(frozen=True)
class Sample:
    time: float  # time.monotonic()
    rss: int  # bytes that are the process's own: what a file maps does not count
    descriptors: int
    health_s: float  # how long /health took
    requests: int  # accepted since the start
    generated: int
    running: int
    waiting: int
    live: int
    blocks_used: int
    preemptions: int


def own_memory(pid: int) -> int:
    """Bytes of anonymous resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError("the system does not tell RssAnon")


def n_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu_seconds(pid: int) -> float:
    """CPU time of all living threads, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def take_sample(pid: int, port: int) -> Sample:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        start = time.monotonic()
        connection.request("GET", "/health")
        connection.getresponse().read()
        health_s = time.monotonic() - start
        connection.request("GET", "/stats")
        stats = json.loads(connection.getresponse().read())["data"]
    finally:
        connection.close()
    return Sample(
        time=start, rss=own_memory(pid), descriptors=n_descriptors(pid), health_s=health_s,
        requests=stats["requests"], generated=stats["generated_tokens"],
        **{name: stats[name] for name in ("running", "waiting", "live", "blocks_used", "preemptions")},
    )  # fmt: skip


def _watch(pid: int, port: int, path: Path, stop: Event) -> None:
    with path.open("w", encoding="utf-8") as out:
        while not stop.wait(EVERY_S):
            out.write(json.dumps(asdict(take_sample(pid, port))) + "\n")


@contextmanager
def watching(pid: int, port: int, path: Path) -> Iterator[None]:
    """Samples go to `path`, a line each."""
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=_watch, args=(pid, port, path, stop), daemon=True)
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(60)


def read_samples(path: Path) -> list[Sample]:
    return [Sample(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
