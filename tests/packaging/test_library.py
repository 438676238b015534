"""libcllm, as a program sees it that was installed by itself."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from kit import SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
MODEL = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"
QUESTION = 'Say "hello" and tell a story.'

SAN = os.environ.get("SAN", "")  # a program needs the run time of the library's sanitizers, and so its compiler

def run(*command: str | Path, **env: str) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300 * SLOW, env={**os.environ, **env}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stage = tmp_path_factory.mktemp("stage")
    run("make", "-s", "-C", ROOT, f"BUILD={CLLM.parent}", "-o", CLLM, "PREFIX=/usr", f"DESTDIR={stage}", "install")
    return stage / "usr"


def search_path(prefix: Path) -> str:
    return f"{prefix / 'lib/pkgconfig'}:{os.environ.get('PKG_CONFIG_PATH', '')}"


def build(prefix: Path, source: Path, program: Path) -> Path:
    compiler = shlex.split(os.environ.get("CC", "")) or [next(c for c in ("cc", "clang", "gcc") if shutil.which(c))]
    options = ["-std=c17", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread"]
    moved = ["--define-variable", f"prefix={prefix}"]  # the stage stands for /
    flags = run("pkg-config", *moved, "--cflags", "--libs", "cllm", PKG_CONFIG_PATH=search_path(prefix)).split()
    options += [f"-fsanitize={SAN}", "-g"] if SAN else []
    run(*compiler, *options, source, "-o", program, *flags)
    return program


@pytest.fixture(scope="module")
def ask(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(prefix, ROOT / "examples/ask.c", tmp_path_factory.mktemp("ask") / "ask")


@pytest.mark.skipif(bool(SAN), reason="sanitizers add names of theirs")
def test_only_its_own_names_are_seen(prefix: Path) -> None:
    for options, name in (["-D"], "libcllm.so"), ([], "libcllm.a"):
        lines = run("nm", "-g", "--defined-only", *options, prefix / "lib" / name).splitlines()
        names = {line.split()[-1] for line in lines if len(line.split()) == 3}
        assert "cllm_open" in names
        assert all(n.startswith("cllm_") for n in names), names


def test_answers_like_the_program(prefix: Path, ask: Path) -> None:
    expected = run(CLLM, "run", MODEL, "-p", QUESTION, "--seed", "7", "-n", "48")
    assert len(expected) > 20
    assert run(ask, MODEL, QUESTION, "7", LD_LIBRARY_PATH=str(prefix / "lib")) == expected


def test_the_program_of_the_book(prefix: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/libcllm.md").read_text(encoding="utf-8")
    source = tmp_path / "program.c"
    source.write_text(page.partition("```c\n")[2].partition("```")[0], encoding="utf-8")
    program = build(prefix, source, tmp_path / "program")
    (tmp_path / "model.gguf").symlink_to(MODEL)
    answer = subprocess.run([program], cwd=tmp_path, env={**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")},
                            capture_output=True, text=True, timeout=300 * SLOW, check=True)  # fmt: skip
    assert answer.stderr == "" and answer.stdout.splitlines()[-1].endswith(" tokens")


def test_refuses_what_is_no_model(prefix: Path, ask: Path) -> None:
    env = {**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")}
    done = subprocess.run([ask, ROOT / "README.md", "x"], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 1
    assert "README.md" in done.stderr and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1  # the program's own message: the library writes nothing


def test_many_threads(prefix: Path, tmp_path: Path) -> None:
    program = build(prefix, ROOT / "tests/packaging/together.c", tmp_path / "together")
    assert run(program, MODEL, LD_LIBRARY_PATH=str(prefix / "lib")) == "ok\n"
