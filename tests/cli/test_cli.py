"""The command line as a user meets it: help, errors, one answer, a server that starts and stops."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kit import PATIENCE_S, SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
SMOLLM2 = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"
OPTIONS_DEF = ROOT / "src/cli/options.def"
ENTRY = re.compile(r"^OPT_[A-Z]+\s*\(\s*(\w+),\s*([A-Z_| ]+),", re.MULTILINE)
COMMANDS = re.findall(r"^COMMAND\(\w+, (\w+),", (ROOT / "src/cli/commands.def").read_text(encoding="utf-8"), re.MULTILINE)
GROUPS = {"COMMAND_ANY": {"serve", "run", "eval", "bench"}, "COMMAND_LIBRARY": {"pull", "list", "rm", "show"},
          "COMMAND_FILES": {"inspect", "tokenize", "template"}, "COMMAND_EVERY": set(COMMANDS)}  # fmt: skip
# Sanitizers slow a program down; the limits on time hold for the release build.


def cllm(*args: str | Path, stdin: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CLLM), *map(str, args)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="strict",
        timeout=120 * SLOW,
        env={**os.environ, **(env or {})},
        check=False,
    )


# ---- help, version, errors ----


def test_usage_and_version() -> None:
    usage = cllm("--help")
    assert usage.returncode == 0
    assert all(f"\n  {name} " in usage.stdout for name in ("serve", "run", "pull", "list", "inspect", "tokenize", "template"))
    assert cllm("help").stdout == usage.stdout and cllm("help", "pull").stdout == cllm("pull", "--help").stdout
    version = cllm("--version")
    assert re.fullmatch(r"cllm \d+\.\d+\.\d+, commit \w+, CPU \w+ \(this machine has: scalar( \w+)*\)\n", version.stdout)
    assert "CPU scalar" in cllm("--version", env={"CLLM_CPU": "scalar"}).stdout
    assert cllm("--version", env={"CLLM_CPU": "z80"}).returncode == 1


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_terminal(command: str) -> None:
    """And so do its examples, whose options are among those that it lists."""
    text = cllm(command, "--help").stdout if command else cllm("--help").stdout
    assert max(map(len, text.splitlines())) <= 80
    examples = re.findall(r"^  (.*\bcllm \S.*)$", text.partition("\nexamples:\n")[2].partition("\n\n")[0], re.MULTILINE)
    assert examples or command in ("", "ps", "eval")
    for example in examples:
        given = re.search(rf"\bcllm {command}\b([^#|]*)", example)
        assert given, example
        for option in re.findall(r" (--?[a-z][\w-]*)", given[1]):
            assert re.search(rf"^ +(-\w, )?{option}\b", text, re.MULTILINE), example


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_option(command: str) -> None:
    done = cllm(command, "--help")
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith(f"usage: cllm {command} ")
    titles = re.findall(r"^\w[\w ]*:$", done.stdout, re.MULTILINE)
    assert len(titles) == len(set(titles))  # each section once
    for name, commands in ENTRY.findall(OPTIONS_DEF.read_text(encoding="utf-8")):
        listed = f"--{name.replace('_', '-')} " in done.stdout
        words = commands.replace("|", " ").split()
        assert listed == any(command in GROUPS.get(w, {w.removeprefix("COMMAND_").lower()}) for w in words), name


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ((), 2, "usage: cllm COMMAND"),
        (("sevre",), 2, "there is no command 'sevre'; did you mean serve?"),
        (("help", "sevre"), 2, "there is no command 'sevre'; did you mean serve?"),
        (("serve", "--prot", "1"), 2, "cllm serve: unknown option --prot; did you mean --port?"),
        (("frobnicate",), 2, "there is no command 'frobnicate'; `cllm --help` lists all"),
        (("man", "sevre"), 2, "cllm man: there is no command 'sevre'; did you mean serve?"),
        (("serve", "--temperature", "1"), 2, "cllm serve: unknown option --temperature; did you mean --default-temperature?"),
        (("serve", "-m", SMOLLM2, "--host", "192.0.2.1"), 1, "--host wants an address of this machine"),
        (("serve", "-m", SMOLLM2, "--cors-origin", "http://a.example/"), 1, "'http://a.example/' is no origin: SCHEME://HOST[:PORT]"),
        (("serve", "-m", SMOLLM2, "--cors-origin", "https://a.example, b.example"), 1, "'b.example' is no origin"),
        (("grammar", "--schema", "/nonexistent.json"), 1, "unable to open /nonexistent.json: No such file or directory\n"),
        (("serve", "--port", "70000"), 2, "cllm serve: --port: 70000 is out of range (0 to 65535)"),
        (("serve",), 1, "cllm serve: no model is named: give --model FILE"),
        (("serve", "-m", "/nonexistent.gguf"), 1, "cannot read the model /nonexistent.gguf: No such file"),
        (("run", "/nonexistent.gguf", "-p", "x"), 1, "cannot read the model /nonexistent.gguf: No such file"),
        (("run",), 1, "cllm run: no model is named"),
        (("run", "a", "b"), 2, "unexpected argument 'b'"),
        (("run", "a", "--config", "/nonexistent.yaml"), 2, "cannot open the configuration file /nonexistent.yaml"),
    ],
)
def test_errors_name_cause_and_remedy(args: tuple[str, ...], code: int, message: str) -> None:
    done = cllm(*args)
    assert done.returncode == code
    assert message in done.stderr and done.stdout == ""
    if args and args[0] in ("serve", "run"):
        assert done.stderr.count("\n") == 1  # one clear line


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "letter.gguf"
    path.write_text("Dear all,\n")
    done = cllm("run", path, "-p", "x")
    assert done.returncode == 1 and done.stdout == ""
    assert str(path) in done.stderr


def test_bad_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "cllm.yaml"
    path.write_text("server:\n  prot: 1\n")
    done = cllm("serve", "--config", path)
    assert (done.returncode, done.stderr) == (
        2,
        f"cllm serve: {path}:2: unknown key server.prot; did you mean server.port?\n",
    )


# ---- one answer ----


def answer(*args: str, stdin: str = "") -> str:
    done = cllm("run", SMOLLM2, "--temperature", "0", "--repetition-penalty", "1", *args, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_answer() -> None:
    text = answer("-p", "What is the capital of France? Answer in one sentence.", "-n", "40")
    assert "Paris" in text and text.endswith("\n")
    assert "<|im_end|>" not in text
    assert answer("-n", "40", stdin="What is the capital of France? Answer in one sentence.\n") == text


def test_raw_text_seed_and_statistics() -> None:
    assert "Paris" in answer("--raw", "-p", "The capital of France is", "-n", "8")
    again = ["run", SMOLLM2, "-p", "Tell me a story.", "-n", "24", "--seed", "7", "--temperature", "1"]
    first, second = cllm(*again), cllm(*again, "--threads", "1", "--verbose")
    assert first.returncode == 0 and first.stderr == ""
    assert first.stdout == second.stdout
    assert re.search(r"prompt: \d+ tokens, .*answer: 24 tokens", second.stderr)


def test_what_does_not_fit_is_refused() -> None:
    done = cllm("run", SMOLLM2, "-p", "word " * 300, "--kv-tokens", "64")
    assert done.returncode == 1 and done.stdout == ""
    assert "do not fit into the context of 64" in done.stderr


# ---- the server's start and end ----


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def health(port: int) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/health")
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def wait_healthy(process: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        assert process.poll() is None, "the server has ended"
        try:
            if health(port)[0] == 200:
                return
        except OSError:
            time.sleep(0.01)
    raise AssertionError("not healthy in time")


@contextmanager
def serving(model: Path = SMOLLM2) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    command = [str(CLLM), "serve", "--model", str(model), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, port
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    with serving() as both:
        yield both


def test_is_ready_after_a_second_of_work(server: tuple[subprocess.Popen[str], int]) -> None:
    """On the CPUs: the clock also tells what else the machine has to do."""
    process, port = server
    wait_healthy(process, port)
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    assert (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") < SLOW  # user and system


def test_prints_a_working_command_and_ends(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    wait_healthy(process, port)
    assert process.stdout is not None and process.stderr is not None
    assert re.search(rf" on http://127.0.0.1:{port}( \(a page, in a browser\))?$", process.stdout.readline())
    line = process.stdout.readline()
    assert line.startswith("Try: curl ")
    words = shlex.split(line.removeprefix("Try: "))
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert process.stdout.read() == ""  # the log goes to stderr


def test_port_in_use(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    wait_healthy(process, port)
    done = cllm("serve", "--model", SMOLLM2, "--port", str(port))
    assert done.returncode == 1 and done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("cllm serve: ") and str(port) in last and "in use" in last


def test_stops_while_loading_or_just_after() -> None:
    for delay in (0.0, 0.05, 0.2):
        command = [str(CLLM), "serve", "--model", str(SMOLLM2), "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(delay * SLOW)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) in (0, -signal.SIGINT)  # before the handler is in place it just ends
        assert process.stderr is not None
        assert b"Sanitizer" not in process.stderr.read()
        process.stderr.close()


def test_misspelt_variable(tmp_path: Path) -> None:
    command = [str(CLLM), "list", "--quiet", "--models", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CLLM_MAXQUEUE": "1"}, check=True, timeout=60 * SLOW)
    assert done.stderr == "cllm list: warning: CLLM_MAXQUEUE means nothing; did you mean CLLM_MAX_QUEUE?\n"


def test_a_path_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "one\nfile.gguf"
    path.symlink_to(SMOLLM2)
    assert cllm("run", "-p", "Hi", "-n", "1", "--temperature", "0", path).returncode == 0
    with serving(model=path) as (process, port):
        wait_healthy(process, port)


PRINTING = [
    ["--version"],
    ["--help"],
    ["run", "--help"],
    ["list", "--catalogue"],
    ["man"],
    ["completion", "bash"],
    ["inspect", SMOLLM2],
    ["show", SMOLLM2],
    ["tokenize", "--model", SMOLLM2, "Hello"],
    ["run", SMOLLM2, "-p", "Hi", "-n", "2"],
]


@pytest.mark.parametrize("words", PRINTING, ids=[" ".join(map(str, one[:2])) for one in PRINTING])
def test_what_cannot_be_written_is_a_failure(words: list[str | Path]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([str(CLLM), *map(str, words)], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].endswith(": cannot write the output")


def test_closed_streams_are_nobody_elses() -> None:
    """What is printed with stdin, stdout and stderr closed must not reach a file or a client that has their numbers."""
    port = free_port()
    shell = f'exec "{CLLM}" serve --model "{SMOLLM2}" --port {port} <&- >&- 2>&-'
    process = subprocess.Popen(["/bin/sh", "-c", shell])
    try:
        wait_healthy(process, port)
        assert [os.readlink(f"/proc/{process.pid}/fd/{n}") for n in range(3)] == ["/dev/null"] * 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(20 * SLOW) == 0
    finally:
        process.kill()
        process.wait()


def test_a_server_whose_words_reach_nobody_serves() -> None:
    port = free_port()
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen([str(CLLM), "serve", "--model", str(SMOLLM2), "--port", str(port)], stdout=full, stderr=full)
    try:
        wait_healthy(process, port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20 * SLOW) == 0
    finally:
        process.kill()
        process.wait()
