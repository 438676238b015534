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

LLAMA_NOTE = ("llama.cpp's own server for this CPU: flash attention, continuous batching, weights repacked, read and not "
              "mapped, prompt reuse in a slot; one slot a client")
IK_NOTE = ("ik_llama.cpp's own server for this CPU: run-time repacking, fused operations and graph reuse (its defaults), "
           "continuous batching, prompt reuse in a slot; one slot a client; flash attention for one client only, as the "
           "server aborts when it batches requests with it")
NOT_USED = (
    ("llama-cpp-python", "llama.cpp again, under a server of its own that answers one request at a time"),
    ("mistralrs", "0.9.5 reads the file, but its package has no server, and its Runner refuses requests of a second "
                  "thread; the one that it took ran at 34 tokens/s"),
    ("flyweight-llm", "0.23.1 has a CPU server, but does not read this model's architecture (post_attention_norm missing)"),
    ("ctransformers", "0.2.27, of 2023, cannot load the file"),
    ("vllm", "not tried: its package is built for GPUs, and its CPU builds need other model files than GGUF"),
    ("llamafile", "not to be had as a package"),
)


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


def native_version(folder: Path, program: str) -> tuple[str | None, str]:
    """The source package and version that bench/build_peers.sh built a program of; None and the reason without it."""
    note = folder / f"{program}.version"
    if not (folder / "bin" / program).is_file() or not note.is_file():
        return None, f"{program} is not built for this CPU (make peers builds it)"
    return f"{note.read_text(encoding='utf-8').strip()}, built here", ""


def llama_cpp(folder: Path, passive: bool = False) -> Contender:
    """llama.cpp's own server, built for this CPU.

    Its threads spin at barriers, hundreds of times a step. On a machine with other work that costs it nearly
    everything; `passive` lets them sleep instead.
    """

    def command(job: Job) -> list[str]:
        return [str(folder / "bin/llama-server"), "--model", str(job.model), "--host", "127.0.0.1",
                "--port", str(job.port), "--threads", str(job.threads), "--threads-batch", str(job.threads),
                "--parallel", str(job.concurrency), "--ctx-size", str(job.concurrency * CONTEXT),
                "--flash-attn", "on", "--load-mode", "none", "--batch-size", "2048", "--ubatch-size", "512",
                "--cache-ram", "0", "--threads-http", str(job.concurrency + 4), "--no-ui", "--log-verbosity", "1"]

    version, note = native_version(folder, "llama-server")
    if version is not None:
        note = LLAMA_NOTE
    variables = {"OMP_WAIT_POLICY": "passive"} if passive else {}
    name = "llama.cpp-passive" if passive else "llama.cpp"
    return Contender(name, command, "/health", version, note, variables, optional=passive)


def ik_llama_cpp(folder: Path) -> Contender:
    """ik_llama.cpp's own server, built for this CPU."""

    def command(job: Job) -> list[str]:
        flash = "on" if job.concurrency == 1 else "off"  # with several requests in a batch it aborts (S > 0)
        return [str(folder / "bin/ik-llama-server"), "--model", str(job.model), "--host", "127.0.0.1",
                "--port", str(job.port), "--threads", str(job.threads), "--threads-batch", str(job.threads),
                "--parallel", str(job.concurrency), "--ctx-size", str(job.concurrency * CONTEXT),
                "--flash-attn", flash, "--run-time-repack", "--batch-size", "2048", "--ubatch-size", "512",
                "--cache-ram", "0", "--threads-http", str(job.concurrency + 4), "--log-disable"]

    version, note = native_version(folder, "ik-llama-server")
    if version is not None:
        note = IK_NOTE
    return Contender("ik_llama.cpp", command, "/health", version, note)


def llama_cpp_avx2(python: Path) -> Contender:
    """The same llama.cpp out of the xllamacpp wheel, which is built for AVX2: its server in a child process."""

    def command(job: Job) -> list[str]:
        return [str(python), str(HERE / "serve_llamacpp.py"), str(job.model), str(job.port), str(job.threads),
                str(job.concurrency), str(job.concurrency * CONTEXT)]

    version, note = package_version(python, "xllamacpp")
    if version is not None:
        code = "import xllamacpp as x; print(' '.join(p.split('=')[0].strip() for p in " \
               "x.get_system_info().removeprefix('CPU :').split('|') if p.strip()))"
        good, said = output_of([str(python), "-c", code])
        built = f"this wheel is built with {said}" if good else f"system info: {said}"
        note = f"options as for llama.cpp; {built}"
    return Contender("llama.cpp-avx2", command, "/health", version, note, optional=True)


def ik_llama_cpp_avx2(python: Path) -> Contender:
    """ik_llama.cpp out of its wheel, which has no server: a front of ours batches requests over its C interface."""

    def command(job: Job) -> list[str]:
        return [str(python), str(HERE / "serve_ik.py"), str(job.model), str(job.port), str(job.threads),
                str(job.concurrency), str(job.concurrency * CONTEXT)]

    version, note = package_version(python, "ik-llama-cpp-python")
    if version is not None:
        note = ("the wheel brings no server: bench/peerlib/serve_ik.py batches all running requests into each "
                "llama_decode; weights repacked; greedy whatever is asked, which favours it; no flash attention, as its "
                "package decides without AVX-VNNI")
    return Contender("ik_llama.cpp-avx2", command, "/health", version, note, optional=True)


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


def not_used(name: str, reason: str) -> Contender:
    """A server that was looked at and cannot take part, so that nobody has to look again."""
    return Contender(name, lambda _job: [], "/health", None, reason)


def all_contenders(binary: Path, python: Path, native: Path) -> list[Contender]:
    """Every contender in the order of their turns, those that are not to be had here included.

    `python` is that of the wheels' environment, `native` the folder that bench/build_peers.sh fills.
    """
    return [cllm(binary), llama_cpp(native), ik_llama_cpp(native), das_llama(python), cllm(binary, "avx2"),
            llama_cpp_avx2(python), ik_llama_cpp_avx2(python), llama_cpp(native, passive=True),
            *(not_used(name, reason) for name, reason in NOT_USED)]
