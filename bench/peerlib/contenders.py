"""The servers that are compared: how each is started, with which options, and what is worth knowing about it.

A contender is a command line; nothing here starts anything. All of them get the same model file, the same number
of threads, room for `concurrency` requests at once, and 256 tokens of context a request.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CONTEXT = 256  # tokens a request: its prompt and what it generates
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Job:
    """What a server is started for."""

    model: Path
    port: int
    threads: int
    concurrency: int
    scratch: Path  # a folder that ends with the run; may hold files that a server keeps beside its model


@dataclass(frozen=True)
class Contender:
    """One server under comparison."""

    name: str
    command: Callable[[Job], list[str]]
    health_path: str
    version: str | None  # None: not to be had here; `note` says why
    note: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    ours: bool = False
    optional: bool = False  # runs only when it is named
    prepare: Callable[[Job], None] = lambda _job: None  # before each start

    def start_environment(self, job: Job) -> dict[str, str]:
        """Environment of the server: its own home, so that it neither reads nor leaves settings."""
        return {**os.environ, "HOME": str(job.scratch), **self.environment}


def output_of(command: list[str]) -> tuple[bool, str]:
    """Whether a command succeeds, and the last line it prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return False, str(exc)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else ""


def package_version(python: Path, package: str) -> tuple[str | None, str]:
    """The version of a Python package in the peers' environment; None and the reason when it is not there."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    good, said = output_of([str(python), "-c", code])
    return (f"{package} {said}", "") if good else (None, f"{package} is not installed ({said or 'no answer'})")


def cllm(binary: Path, rung: str | None = None) -> Contender:
    """`cllm serve`; with `rung`, held to that step of its CPU ladder."""

    def command(job: Job) -> list[str]:
        return [str(binary), "serve", "--model", str(job.model), "--port", str(job.port),
                "--threads", str(job.threads), "--log-level", "warn"]

    good, said = output_of([str(binary), "--version"])
    masked = {"CLLM_CPU": rung} if rung else {}
    note = f"held to {rung}, the instruction set that some peers' wheels are built for" if rung else ""
    name = f"cllm-{rung}" if rung else "cllm"
    return Contender(name, command, "/health", said if good else None, note if good else said, masked, ours=True,
                     optional=rung is not None)


def llama_cpp(python: Path, passive: bool = False) -> Contender:
    """llama.cpp's own HTTP server, in a child process, out of the xllamacpp wheel.

    Its threads spin at barriers, hundreds of times a step. On a machine with other work that costs it nearly
    everything; `passive` lets them sleep instead.
    """

    def command(job: Job) -> list[str]:
        return [str(python), str(HERE / "serve_llamacpp.py"), str(job.model), str(job.port), str(job.threads),
                str(job.concurrency), str(job.concurrency * CONTEXT)]

    version, note = package_version(python, "xllamacpp")
    if version is not None:
        code = "import xllamacpp as x; print(' '.join(p.split('=')[0].strip() for p in " \
               "x.get_system_info().removeprefix('CPU :').split('|') if p.strip()))"
        good, said = output_of([str(python), "-c", code])
        built = f"this wheel is built with {said}" if good else f"system info: {said}"
        note = ("llama.cpp's server: flash attention, continuous batching, repacking, batches 2048/512, prompt reuse "
                f"in a slot; one slot a client; {built}")
    variables = {"OMP_WAIT_POLICY": "passive"} if passive else {}
    name = "llama.cpp-passive" if passive else "llama.cpp"
    return Contender(name, command, "/health", version, note, variables, optional=passive)


def ik_llama_cpp(python: Path) -> Contender:
    """ik_llama.cpp: its package has no server, so a front of ours batches requests over its C interface."""

    def command(job: Job) -> list[str]:
        return [str(python), str(HERE / "serve_ik.py"), str(job.model), str(job.port), str(job.threads),
                str(job.concurrency), str(job.concurrency * CONTEXT)]

    version, note = package_version(python, "ik-llama-cpp-python")
    if version is not None:
        note = ("the package brings no server: bench/peerlib/serve_ik.py batches all running requests into each "
                "llama_decode; weights repacked; greedy whatever is asked, which favours it; no flash attention, as its "
                "package decides without AVX-VNNI")
    return Contender("ik_llama.cpp", command, "/health", version, note)


def das_llama(python: Path) -> Contender:
    """dasllama-server, whose wheel is a native program."""
    program = python.parent / "dasllama-server"

    def prepare(job: Job) -> None:
        """It keeps a repacked copy beside the model: give it a link of its own to put that beside."""
        link = job.scratch / job.model.name
        if not link.exists():
            link.symlink_to(job.model.resolve())

    def command(job: Job) -> list[str]:
        return [str(program), "-m", str(job.scratch / job.model.name), "-p", str(job.port), "--gpu", "off", "-t", str(job.threads),
                "--streams", str(job.concurrency), "--ctx", str(CONTEXT)]

    version, note = package_version(python, "dasllama")
    if version is not None:
        note = ("weights in q8 mode, which serves the file's types; it knows no ignore_eos; its repacked copy of the "
                "model is written at its first start and read at later ones")
    return Contender("dasllama", command, "/v1/models", version, note, prepare=prepare)


def llama_cpp_python(python: Path) -> Contender:
    """llama-cpp-python's server: comes as source only, so it is used where somebody has built it."""

    def command(job: Job) -> list[str]:
        return [str(python), "-m", "llama_cpp.server", "--model", str(job.model), "--port", str(job.port),
                "--n_threads", str(job.threads), "--n_threads_batch", str(job.threads),
                "--n_ctx", str(job.concurrency * CONTEXT), "--flash_attn", "true"]

    version, note = package_version(python, "llama-cpp-python")
    if version is not None:
        note = "one request at a time: it does not batch"
    else:
        note += "; its index has no wheel of it, only source, which takes more than ten minutes to build on two cores"
    return Contender("llama-cpp-python", command, "/v1/models", version, note)


def all_contenders(binary: Path, python: Path) -> list[Contender]:
    """Every contender in the order of their turns, those that are not to be had here included."""
    return [cllm(binary), llama_cpp(python), ik_llama_cpp(python), das_llama(python), llama_cpp_python(python),
            cllm(binary, "avx2"), llama_cpp(python, passive=True)]
