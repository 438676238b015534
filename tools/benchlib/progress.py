"""A progress bar: tqdm where it is installed, a small one of our own where it is not."""

from __future__ import annotations

import sys
import threading
from time import monotonic
from typing import Any, TextIO

REFRESH = 0.5  # seconds between two drawings: the client shares the machine with the server
WIDTH = 30


class PlainBar:
    """One line, redrawn in place at most every REFRESH seconds."""

    def __init__(self, total: int, label: str, out: TextIO) -> None:
        self._total, self._label, self._out = total, label, out
        self._begin = monotonic()
        self._drawn = float("-inf")
        self._done = 0

    def update(self, count: int) -> None:
        """`count` more requests are through."""
        self._done += count
        now = monotonic()
        if now - self._drawn >= REFRESH:
            self._drawn = now
            self._draw(now)

    def _draw(self, now: float) -> None:
        filled = WIDTH * self._done // max(self._total, 1)
        bar = "#" * filled + "." * (WIDTH - filled)
        self._out.write(f"\r{self._label} [{bar}] {self._done}/{self._total} {now - self._begin:.0f}s")
        self._out.flush()

    def close(self) -> None:
        """Draw the last state and end the line."""
        self._draw(monotonic())
        self._out.write("\n")
        self._out.flush()


def _open_bar(total: int, label: str, out: TextIO) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return PlainBar(total, label, out)
    tqdm.monitor_interval = 0  # no watcher thread
    return tqdm(total=total, desc=label, unit="req", file=out, mininterval=REFRESH, dynamic_ncols=True)


class Progress:
    """A bar that any worker thread may push; draws nothing when off or when nobody looks at a terminal."""

    def __init__(self, total: int, label: str, off: bool = False, out: TextIO | None = None) -> None:
        out = out or sys.stderr
        self._lock = threading.Lock()
        self._bar = None if off or not out.isatty() else _open_bar(total, label, out)

    def step(self) -> None:
        """One request is through."""
        if self._bar is not None:
            with self._lock:
                self._bar.update(1)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
