"""A program in a terminal, for tests: type keys, wait for what appears."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


@dataclass
class Terminal:
    process: subprocess.Popen[bytes]
    fd: int
    slow: float = 1  # factor of the limits on time
    text: str = ""  # what has not been matched yet, without escape sequences
    raw: str = ""  # all, with them

    def wait_for(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        """Read until the pattern appears in what has not been matched yet."""
        end = time.monotonic() + seconds * self.slow
        while not (match := re.search(pattern, self.text, re.DOTALL)):
            ready, _, _ = select.select([self.fd], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{pattern!r} did not come; on the screen: {self.text!r}"
            self.read()
        self.text = self.text[match.end() :]
        return match

    def read(self) -> None:
        data = os.read(self.fd, 65536).decode("utf-8", "replace")
        self.raw += data
        self.text = ESCAPES.sub("", self.text + data)

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def leave(self) -> int:
        """Ctrl-D; the exit status."""
        self.type("\x04")
        return self.process.wait(20 * self.slow)


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def in_terminal(command: list[str | Path], env: dict[str, str], slow: float = 1) -> Iterator[Terminal]:
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    process = subprocess.Popen(
        [str(word) for word in command], stdin=child, stdout=child, stderr=child, preexec_fn=_take_terminal, env=env
    )
    os.close(child)
    try:
        yield Terminal(process, parent, slow)
    finally:
        process.kill()
        process.wait()
        os.close(parent)
