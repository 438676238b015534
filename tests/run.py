#!/usr/bin/env python3
"""Run every test suite in order: one line a suite, the output of those that fail, one closing line of totals.

Each suite is a process; its output goes to build/test-logs/NAME.log as it comes. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "test-logs"
TIMEOUT_S = 10 * 1800 if os.environ.get("SAN") else 1800
THREADED = {"unit", "py-api", "py-packaging"}  # with SAN=thread: what has threads of its own; the others would only be slow
SHOWN_LINES = 200


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Counts) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


@dataclass(frozen=True)
class Suite:
    name: str
    command: list[str]
    count: Callable[[str], Counts]
    env: dict[str, str] = field(default_factory=dict)


def count_lines(text: str) -> Counts:
    """Lines `N passed, N failed`: kcheck's."""
    pairs = re.findall(r"^(\d+) passed, (\d+) failed", text, re.MULTILINE)
    return Counts(sum(int(p) for p, _ in pairs), sum(int(f) for _, f in pairs))


def count_cmocka(text: str) -> Counts:
    def total(word: str) -> int:
        return sum(int(n) for n in re.findall(rf"\[  {word}  \] (\d+) test\(s\)", text))

    return Counts(total("PASSED"), total("FAILED"), total("SKIPPED"))


def count_pytest(text: str) -> Counts:
    """The last line, such as `3 failed, 27 passed, 1 skipped in 0.81s`."""
    lines = [line for line in text.splitlines() if re.search(r"\d+ \w+.* in [\d.]+s", line)]
    numbers = {word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", lines[-1])} if lines else {}
    failed = sum(numbers.get(word, 0) for word in ("failed", "error", "errors"))
    return Counts(numbers.get("passed", 0), failed, numbers.get("skipped", 0))


def count_check(text: str) -> Counts:
    """A single check, whose exit status says it all: see run()."""
    return Counts(1)


def lint_suites() -> Iterator[Suite]:
    for path in sorted((ROOT / "tests/lint").glob("check_*.py")):
        yield Suite(f"lint-{path.stem.removeprefix('check_')}", [sys.executable, str(path)], count_check)
    yield Suite("lint-python", [sys.executable, "-m", "ruff", "check", "--quiet", "tools", "tests"], count_check)


def pytest_suites() -> Iterator[Suite]:
    folders = sorted({path.parent for path in (ROOT / "tests").rglob("test_*.py")})
    for folder in folders:
        name = "py-" + "-".join(folder.relative_to(ROOT / "tests").parts)
        options = ["-q", "-ra", "--tb=short", "--durations=5", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
        yield Suite(name, [sys.executable, "-m", "pytest", *options, str(folder)], count_pytest)


def gcc_suites() -> Iterator[Suite]:
    """That gcc has nothing to say either: clang builds what is tested, where there is one."""
    if shutil.which("gcc") and not os.environ.get("SAN"):
        make = ["make", "-s", f"-j{os.cpu_count()}", "CC=gcc", "SAN=", "BUILD=build/gcc", "all", "lib"]
        yield Suite("build-gcc", make, count_check)


def all_suites(build: Path) -> Iterator[Suite]:
    yield from lint_suites()
    yield from gcc_suites()
    # Leaks and undefined behaviour end a process with a status of its own, in sanitizer builds.
    yield Suite("unit", [str(build / "unit")], count_cmocka, {"CMOCKA_MESSAGE_OUTPUT": "STDOUT"})
    yield Suite("kcheck", [str(build / "kcheck")], count_lines)
    if shutil.which("qemu-aarch64") and shutil.which("aarch64-linux-gnu-gcc"):  # as the Makefile asks
        arm = build.with_name(build.name.split("-")[0] + "-arm")  # never with sanitizers
        yield Suite("kcheck-arm", ["qemu-aarch64", "-cpu", "max", str(arm / "kcheck")], count_lines)
    yield from pytest_suites()


def outside_make() -> dict[str, str]:
    """The environment without what the make above hands down: a make that a test runs is its own."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def execute(suite: Suite, log: Path) -> str:
    """Run the suite with its output in `log`; "" or why it ended badly. Nothing it started outlives it."""
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                suite.command,
                cwd=ROOT,
                env={**outside_make(), **suite.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            return f"cannot start: {exc}"
        try:
            code = process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"still running after {TIMEOUT_S} s"
        finally:
            stop_group(process.pid)
            process.wait()
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"exit status {code}" if code else ""


def stop_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def show(log: Path) -> None:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) > SHOWN_LINES:
        print(f"    … (all of it in {log.relative_to(ROOT)})")
    print("\n".join("    " + line for line in lines[-SHOWN_LINES:]), flush=True)


def run(suite: Suite) -> Counts:
    log = LOGS / f"{suite.name}.log"
    start = time.monotonic()
    problem = execute(suite, log)
    counts = suite.count(log.read_text(encoding="utf-8", errors="replace"))
    if problem and suite.count is count_check:
        counts = Counts(0, 1)
    elif not problem and counts.passed + counts.failed + counts.skipped == 0:
        problem = "it ran no test"
    if problem and not counts.failed:
        counts.failed = 1  # it broke outside a test
    seconds = time.monotonic() - start
    skipped = f", {counts.skipped} skipped" if counts.skipped else ""
    note = f"  ({problem})" if problem else ""
    print(f"{suite.name:<16} {counts.passed} passed, {counts.failed} failed{skipped}  {seconds:.1f} s{note}", flush=True)
    if problem or counts.failed:
        show(log)
    return counts


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="folder of the test binaries")
    parser.add_argument("--only", metavar="NAME", default="", help="suites whose name contains NAME")
    parser.add_argument("--list", action="store_true", help="name the suites and leave")
    args = parser.parse_args(argv)
    build = args.build.resolve()
    os.environ.setdefault("CLLM_BIN", str(build / "cllm"))
    suites = [suite for suite in all_suites(build) if args.only in suite.name]
    if os.environ.get("SAN") == "thread":
        suites = [suite for suite in suites if suite.name in THREADED]
    if args.list:
        print("\n".join(suite.name for suite in suites))
        return 0
    LOGS.mkdir(parents=True, exist_ok=True)
    total = Counts()
    for suite in suites:
        total.add(run(suite))
    if not suites:
        print(f"no suite is called like '{args.only}'", file=sys.stderr)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
