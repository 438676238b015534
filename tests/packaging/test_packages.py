"""`make deb` and `make dist`: what they make can be unpacked elsewhere and runs there."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from kit import SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))

pytestmark = pytest.mark.skipif(bool(os.environ.get("SAN")), reason="nobody packages a build with sanitizers")


def run(*command: str | Path, **env: str) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300 * SLOW, env={**os.environ, **env}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make(target: str, **env: str) -> None:
    built = [word for path in (CLLM, CLLM.parent / "libcllm.a", CLLM.parent / "libcllm.so") for word in ("-o", path)]
    run("make", "-s", "-C", ROOT, f"BUILD={CLLM.parent}", *built, target, **env)


def newest(pattern: str) -> Path:
    return max(CLLM.parent.glob(pattern), key=lambda path: path.stat().st_mtime)


@pytest.mark.skipif(not shutil.which("dpkg-shlibdeps"), reason="no tools of dpkg here")
def test_debian_package(tmp_path: Path) -> None:
    make("deb", DEBFULLNAME="Ann Example", DEBEMAIL="ann@example.org")
    package = newest("cllm_*.deb")
    fields = run("dpkg-deb", "--field", package)
    assert "\nMaintainer: Ann Example <ann@example.org>\n" in fields
    assert re.search(r"^Depends: .*libc6 .*libevent.*libjansson4", fields, re.MULTILINE)
    run("dpkg-deb", "--extract", package, tmp_path)
    run("dpkg-deb", "--control", package, tmp_path / "control")
    for script in ("postinst", "prerm", "postrm"):
        run("sh", "-n", tmp_path / "control" / script)
    program = tmp_path / "usr/bin/cllm"
    assert run(program, "--version") == run(CLLM, "--version")
    library = next(tmp_path.glob("usr/lib/*/libcllm.so.0"))
    assert (library.parent / "libcllm.so").resolve() == library
    for name in ("share/man/man1/cllm-serve.1.gz", "lib/systemd/system/cllm.service", "include/cllm.h",
                 "share/bash-completion/completions/cllm", "share/doc/cllm/copyright"):  # fmt: skip
        assert (tmp_path / "usr" / name).is_file(), name
    log = gzip.decompress((tmp_path / "usr/share/doc/cllm/changelog.Debian.gz").read_bytes()).decode()
    assert "\n -- Ann Example <ann@example.org>  " in log
    owners = {line.split()[1] for line in run("dpkg-deb", "--contents", package).splitlines()}
    assert owners == {"root/root"}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="static libraries of this machine are not known to be there")
def test_tarball(tmp_path: Path) -> None:
    make("dist")
    with tarfile.open(newest("cllm-*-linux.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    program = root / "bin/cllm"
    assert run(program, "--version") == run(CLLM, "--version")
    needed = set(re.findall(r"NEEDED.*\[(\w+)", run("readelf", "-d", program)))
    assert needed <= {"libcurl", "libedit", "libm", "libc", "ld"}
    for name in ("README.md", "LICENSE", "share/man/man1/cllm.1", "include/cllm.h", "lib/libcllm.a"):
        assert (root / name).is_file(), name
    found = run("pkg-config", "--variable=includedir", "cllm", PKG_CONFIG_PATH=str(root / "lib/pkgconfig"))
    assert (Path(found.strip()) / "cllm.h").is_file()


def test_dockerfile_has_what_setup_installs() -> None:
    dockerfile = (ROOT / "packaging/Dockerfile").read_text(encoding="utf-8")
    wanted = re.search(r"^libraries='(.*?)'", (ROOT / "tools/setup.sh").read_text(encoding="utf-8"), re.S | re.M)
    assert wanted
    for line in wanted[1].splitlines():
        assert line.split()[0] in dockerfile.split(), line
    assert re.search(r"^USER cllm$", dockerfile, re.MULTILINE)
    options = (ROOT / "src/cli/options.def").read_text(encoding="utf-8")
    for name in re.findall(r"CLLM_([A-Z_]+)=", dockerfile):
        assert re.search(rf"^OPT_\w+\s*\({name.lower()},", options, re.MULTILINE), name
