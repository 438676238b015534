"""Start a server, wait until it is healthy, let the closed loop of `tools/benchlib` run, stop it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchlib.client import Client
from benchlib.loop import ClosedLoop, warm_up
from benchlib.options import Options
from benchlib.protocols import OpenAIProtocol
from benchlib.result import PhaseResult

from .contenders import Contender, Job

START_SECONDS = 120.0
STOP_SECONDS = 15.0
# The same sampling work for everybody; an end token counts as a token like others, where a server can do that.
SAMPLING = {"top_k": 40, "top_p": 0.95, "min_p": 0.0, "ignore_eos": True}


class ServerError(Exception):
    """A server did not start, or did not serve."""


class ExactProtocol(OpenAIProtocol):
    """OpenAI's API with the fields that make every reply exactly max_tokens long."""

    def fields(self, prompt: str, max_tokens: int, seed: int | None) -> dict[str, Any]:
        return {**super().fields(prompt, max_tokens, seed), **SAMPLING}


@dataclass
class Sample:
    """One server measured once."""

    server: str
    round: int
    concurrency: int
    seconds_to_healthy: float | None = None
    peak_memory_mib: float | None = None
    server_cores: float | None = None  # CPU seconds a second that the server used while it was measured
    foreign_cores: float | None = None  # … and that neither it nor the client did
    whole: PhaseResult | None = None  # replies in one piece: the throughput
    streamed: PhaseResult | None = None  # only with --stream: the time to the first token
    error: str | None = None

    def phases(self) -> list[PhaseResult]:
        """The tests that were run."""
        return [phase for phase in (self.whole, self.streamed) if phase is not None]

    def good(self) -> bool:
        """Every request got status 200 and exactly the tokens it asked for."""
        phases = self.phases()
        return self.error is None and bool(phases) and all(
            p.exact_token_requests == p.total_requests for p in phases)

    def as_dict(self) -> dict[str, Any]:
        """For the result file."""
        return {**asdict(self), "good": self.good()}


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def peak_memory_mib(pid: int) -> float | None:
    """The largest resident set that the process has had (VmHWM)."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return round(int(found[1]) / 1024, 1) if found else None


@dataclass
class CpuClock:
    """CPU seconds until now: of the whole machine, of one process, of this process."""

    wall: float
    machine: float | None
    server: float | None
    client: float

    @classmethod
    def read(cls, pid: int) -> CpuClock:
        """Now."""
        return cls(time.monotonic(), machine_cpu(), process_cpu(pid), time.process_time())


def machine_cpu(stat: str = "/proc/stat") -> float | None:
    """Busy CPU seconds of the machine, time stolen by other machines included; None where it is not told."""
    try:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, Path(stat).read_text().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def process_cpu(pid: int) -> float | None:
    """CPU seconds of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share_cpu(sample: Sample, before: CpuClock, after: CpuClock) -> None:
    """Fill in who had the CPUs between two moments."""
    if None in (before.machine, before.server, after.machine, after.server):
        return
    wall = max(after.wall - before.wall, 1e-9)
    server = after.server - before.server
    foreign = after.machine - before.machine - server - (after.client - before.client)
    sample.server_cores, sample.foreign_cores = round(server / wall, 3), round(max(foreign, 0.0) / wall, 3)


def wait_healthy(process: subprocess.Popen[bytes], url: str, path: str, seconds: float) -> None:
    """Return once GET `path` gives 200; ServerError when the process ends or the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerError(f"it ended with status {process.returncode} before it was healthy")
        client = Client(url, 5.0)
        try:
            if client.get_json(path)[0] == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            client.close()
        time.sleep(0.02)
    raise ServerError(f"not healthy after {seconds:g} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process, gently first."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def log_tail(path: Path, lines: int = 5) -> str:
    """The last lines that a server wrote, on one line."""
    return " | ".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])[:500]


@contextlib.contextmanager
def serving(contender: Contender, job: Job, sample: Sample) -> Iterator[str]:
    """A fresh server; its URL. Fills in what is known of the process, which is gone afterwards."""
    url = f"http://127.0.0.1:{job.port}"
    log = job.scratch / f"{contender.name}.log"
    with log.open("wb") as out:
        started = time.monotonic()
        try:
            contender.prepare(job)
            process = subprocess.Popen(contender.command(job), stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT, env=contender.start_environment(job))
        except OSError as exc:
            raise ServerError(f"cannot start: {exc}") from exc
        try:
            wait_healthy(process, url, contender.health_path, START_SECONDS)
            sample.seconds_to_healthy = round(time.monotonic() - started, 3)
            before = CpuClock.read(process.pid)
            yield url
            share_cpu(sample, before, CpuClock.read(process.pid))
            if process.poll() is not None:
                raise ServerError(f"it ended with status {process.returncode} while it was measured")
        except ServerError as exc:
            out.flush()
            raise ServerError(f"{exc}; it said: {log_tail(log)}") from exc
        finally:
            sample.peak_memory_mib = peak_memory_mib(process.pid)
            stop(process)


def first_model(url: str) -> str | None:
    """The model's name by GET /v1/models."""
    client = Client(url, 10.0)
    try:
        _, payload = client.get_json("/v1/models")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        client.close()
    data = payload.get("data") if isinstance(payload, dict) else None
    return data[0].get("id") if data and isinstance(data[0], dict) else None


def run_loop(options: Options, model: str | None, prompts: list[str]) -> PhaseResult:
    """Warm up and run the closed loop once."""
    protocol = ExactProtocol(options)
    protocol.model = model
    warm_up(options, protocol)
    return ClosedLoop(options, protocol, prompts, options.concurrency).run("concurrent")


def measure(contender: Contender, job: Job, base: Options, prompts: list[str], number: int) -> Sample:
    """One sample: a fresh server, whole replies, then streamed ones if the options ask for them; never raises
    for what a server does."""
    sample = Sample(contender.name, number, job.concurrency)
    try:
        with serving(contender, job, sample) as url:
            settings = {**vars(base), "server_url": url, "concurrency": job.concurrency}
            model = first_model(url)
            sample.whole = run_loop(Options(**{**settings, "stream": False}), model, prompts)
            if base.stream:
                sample.streamed = run_loop(Options(**{**settings, "stream": True}), model, prompts)
    except ServerError as exc:
        sample.error = str(exc)
    return sample


def describe(sample: Sample) -> str:
    """One line for people, as soon as a sample is there."""
    head = f"round {sample.round}  {sample.concurrency:>3} clients  {sample.server:<16}"
    if sample.error or sample.whole is None:
        return f"{head} failed: {sample.error}"
    text = f"{head} {sample.whole.avg_throughput:8.1f} tokens/s"
    if sample.streamed is not None and sample.streamed.ttft is not None:
        text += f"  ttft p99 {sample.streamed.ttft.p99 * 1e3:7.0f} ms"
    errors = {error: n for phase in sample.phases() for error, n in phase.errors.items()}
    bad = "" if sample.good() else f"  NOT EXACT {errors or 'some replies ended early'}"
    return (f"{text}  healthy after {sample.seconds_to_healthy:.2f} s  peak {sample.peak_memory_mib or 0:.0f} MiB"
            f"  foreign CPU {sample.foreign_cores or 0:.2f} cores{bad}")


def run_all(contenders: list[Contender], base: Options, prompts: list[str], model: Path, threads: int,
            levels: list[int], rounds: int) -> list[Sample]:
    """All samples: in every round and at every concurrency each server has its turn, A B A B."""
    samples = []
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        for number in range(1, rounds + 1):
            for concurrency in levels:
                for contender in contenders:
                    job = Job(model, free_port(), threads, concurrency, Path(folder))
                    samples.append(measure(contender, job, base, prompts, number))
                    print(describe(samples[-1]), flush=True)
    return samples


def machine_load() -> float | None:
    """The load of the last minute, before anything is started: a busy machine measures its own business."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        print("warning: this system does not tell its load", file=sys.stderr)
        return None
