"""What the pages show is run, in order, in a scratch folder: commands, programs, configuration files.

What differs from what is written: the server has a free port instead of 8080, the small model stands in for the others, folders of the
system are in the scratch folder, and what takes long is told to do less. Of `make` only the target is looked up.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_blocks import Block, blocks, program
from kit import SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm")).resolve()
MODEL = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TIMEOUT_S = 120 * SLOW
LESS = {
    r"\bcllm run\b": " -n 4",
    r"\bcllm bench\b": " --concurrency 1 --requests 1 --output-tokens 2 --prefill-tokens 0",
    r"\bunified_benchmark\.py\b": " --server-url http://127.0.0.1:8080 --requests 2 --concurrency 1 --max-tokens 4",
}
LIBRARY = "cache/cllm/models"
SYSTEM = re.compile(r"/(?:etc/cllm|srv/models|var/cache/cllm)/")
# A download, replaced by taking the model from a file.
FROM_A_FILE = re.compile(r"cllm pull (\S+)")
TARGETS = set(re.findall(r"[\w-]+", " ".join(re.findall(r"^\.PHONY:(.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))))


def quiet(command: str) -> str:
    """Without its comment."""
    return re.sub(r"\s+# .*$", "", command)


class Scratch:
    """A folder with what the pages take for granted, and the server that they talk to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: subprocess.Popen[bytes] | None = None
        self.port = ""
        links = {"bin/cllm": CLLM, "build/release/cllm": CLLM, "model.gguf": MODEL, "tools": ROOT / "tools",
                 "models/smollm2-135m-instruct-q4_1.gguf": MODEL, "models/qwen3-0.6b-q4_k_m.gguf": MODEL,
                 f"{LIBRARY}/qwen3-0.6b.gguf": MODEL}  # fmt: skip
        for name, target in links.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / ".venv/bin/python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        (folder / ".venv/bin/python").chmod(0o755)
        (folder / "letter.txt").write_text("Dear friend,\n", encoding="utf-8")
        (folder / "keys").write_text("sk-test\n", encoding="utf-8")
        (folder / "run").mkdir(mode=0o700)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("CLLM_")}
        self.env |= {"HOME": str(folder), "PATH": f"{folder}/bin:{os.environ['PATH']}", "XDG_RUNTIME_DIR": f"{folder}/run",
                     "XDG_CACHE_HOME": f"{folder}/cache", "XDG_STATE_HOME": f"{folder}/state"}  # fmt: skip

    def make_certificate(self) -> None:
        self.shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2 "
                   "-keyout key.pem -out chain.pem")  # fmt: skip

    def shell(self, command: str) -> None:
        made = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=self.folder, env=self.env, input=b"Hello\n",
                              capture_output=True, timeout=TIMEOUT_S)  # fmt: skip
        assert made.returncode == 0, f"{command}\n{made.stdout.decode()[-2000:]}\n{made.stderr.decode()[-2000:]}"

    def serve(self, command: str) -> None:
        """Until it is ready; the server before it ends."""
        self.stop()
        log = self.folder / "log"
        with log.open("wb") as out:
            self.server = subprocess.Popen(["bash", "-c", f"exec env {quiet(command)} --port 0 --default-max-tokens 16"],
                                           cwd=self.folder, env=self.env, stderr=out, stdout=out)  # fmt: skip
        end = time.monotonic() + TIMEOUT_S
        while not re.search(r" ready ", text := log.read_text(encoding="utf-8")):
            assert self.server.poll() is None and time.monotonic() < end, f"{command}\n{text}"
            time.sleep(0.05)
        self.port = re.search(r"listening port=(\d+)", text).group(1)

    def stop(self) -> None:
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
        if self.server:
            assert self.server.wait(TIMEOUT_S) == 0

    def need_server(self) -> None:
        if not self.server or self.server.poll() is not None:
            self.serve("cllm serve --model model.gguf")

    def run(self, command: str) -> None:
        command = FROM_A_FILE.sub(r"cllm pull model.gguf --force --name \1", quiet(command))
        if program(command) == "make":
            words = [word for word in command.partition("make")[2].split() if "=" not in word and not word.startswith('"')]
            assert set(words[:1]) <= TARGETS, command
        elif re.search(r"\bcllm serve\b", command):
            if "--tls-cert" in command:
                self.make_certificate()
            self.serve(command.replace("--port 8080", ""))
        else:
            command += "".join(more for pattern, more in LESS.items() if re.search(pattern, command))
            if "8080" in command or "cllm stop" in command:
                self.need_server()
            self.shell(command.replace("curl -s ", "curl -sS --fail-with-body ").replace("8080", self.port))
            if "cllm stop" in command and self.server:
                assert self.server.wait(TIMEOUT_S) == 0

    def run_block(self, block: Block) -> None:
        if block.kind == "sh":
            for command in block.commands():
                self.run(command)
        elif block.kind == "python":
            self.need_server()
            (self.folder / "program.py").write_text(block.text.replace("8080", self.port), encoding="utf-8")
            self.shell(".venv/bin/python program.py")
        elif block.kind == "gbnf":
            (self.folder / "grammar.gbnf").write_text(block.text, encoding="utf-8")
            self.shell("cllm grammar --gbnf grammar.gbnf --samples 3")
        elif block.kind:
            if "tls_cert" in block.text:
                self.make_certificate()
            (self.folder / block.kind).write_text(SYSTEM.sub("", block.text), encoding="utf-8")
            if told := re.match(r"# \S+: (cllm .*)", block.text):  # the command that reads it
                self.run(SYSTEM.sub("", told.group(1)))


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    scratch = Scratch(tmp_path)
    yield scratch
    scratch.stop()


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.kind and block.run]


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.stem)
def test_what_is_shown_works(scratch: Scratch, page: Path) -> None:
    for block in runnable(page):
        scratch.run_block(block)


def test_nearly_everything_is_run() -> None:
    """But what belongs to programs from elsewhere."""
    every = [block for page in PAGES if page.stem != "clients" for block in blocks(page) if block.kind]
    assert len(every) >= 20 and [block.text for block in every if not block.run] == [
        "CLLM_LONG=1 .venv/bin/python -m pytest tests/truth/test_invariance_load.py\n"]
