"""Where a run took place: CPU, system, Python, and the commit of this checkout."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def _output_of(*command: str) -> str | None:
    """What a command prints, stripped; None when it is missing, slow or fails."""
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True,
                              timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def cpu_model(cpuinfo: str = "/proc/cpuinfo") -> str | None:
    """The CPU's own name: from /proc/cpuinfo on Linux, from sysctl on macOS."""
    try:
        for line in Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "cpu model") and value.strip():
                return value.strip()
    except OSError:
        pass
    if platform.system() == "Darwin":
        return _output_of("sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or None


def cpu_count() -> int | None:
    """The CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count()


def describe_environment() -> dict[str, Any]:
    """The part of the result file that says where and with which version the run took place.

    `commit` is the checkout that this tool lies in, which is the server's too when both come from it;
    `commit_dirty` says that tracked files differ from it.
    """
    commit = _output_of("git", "rev-parse", "HEAD")
    changes = _output_of("git", "status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "commit": commit,
        "commit_dirty": None if changes is None else bool(changes),
        "cpu_model": cpu_model(),
        "cpu_count": cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python_version": platform.python_version(),
    }
