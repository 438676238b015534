"""`make install`, the manual pages and the completions of shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kit import SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
COMMANDS = re.findall(r"^COMMAND\(\w+, (\w+),", (ROOT / "src/cli/commands.def").read_text(), re.MULTILINE)
OPTIONS = re.findall(r"^OPT_\w+\s*\(\s*(\w+)", (ROOT / "src/cli/options.def").read_text(), re.MULTILINE)


def run(*command: str | Path, stdin: str = "", **env: str) -> str:
    path = f"{CLLM.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120 * SLOW,
        env={**os.environ, "PATH": path, **env},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_install_and_uninstall(tmp_path: Path) -> None:
    # The build under test, whatever it was made with, is what is installed; tests/packaging has the library.
    libraries = [word for name in ("libcllm.a", "libcllm.so") for word in ("-o", CLLM.parent / name)]
    make = ["make", "-s", "-C", ROOT, f"BUILD={CLLM.parent}", "-o", CLLM, *libraries, "PREFIX=/usr", f"DESTDIR={tmp_path}"]
    run(*make, "install")
    installed = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    expected = {"usr/bin/cllm", "usr/share/man/man1/cllm.1", "usr/share/bash-completion/completions/cllm",
                "usr/share/zsh/site-functions/_cllm", "usr/share/fish/vendor_completions.d/cllm.fish",
                "usr/include/cllm.h", "usr/lib/libcllm.a", "usr/lib/libcllm.so", "usr/lib/libcllm.so.0",
                "usr/lib/pkgconfig/cllm.pc"}  # fmt: skip
    expected |= {f"usr/share/man/man1/cllm-{name}.1" for name in COMMANDS}
    expected |= {f"usr/lib/systemd/system/{p.name}" for p in (ROOT / "packaging/systemd").glob("*.service")}
    assert installed == expected
    assert run(tmp_path / "usr/bin/cllm", "--version").startswith("cllm ")
    for unit in (tmp_path / "usr/lib/systemd/system").glob("*.service"):
        assert "ExecStart=/usr/bin/cllm serve" in unit.read_text()
    run(*make, "uninstall")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_manual_pages(tmp_path: Path) -> None:
    pages = {name: run(CLLM, "man", *([name] if name else [])) for name in ("", *COMMANDS)}
    for name, text in pages.items():
        page = tmp_path / f"cllm-{name or 'main'}.1"
        page.write_text(text)
        assert text.isascii()
        assert run("mandoc", "-T", "lint", page) == ""
        if shutil.which("man"):
            run("man", "--warnings", "-l", "-Tutf8", "-Z", page, MANWIDTH="80")
    for name in OPTIONS:
        flag = name.replace("_", r"\-")
        assert any(rf"\fB\-\-{flag}\fR" in text for text in pages.values()), name
    assert all(f"cllm\\-{name}" in pages[""] for name in COMMANDS)
    assert subprocess.run([CLLM, "man", "nonsense"], capture_output=True).returncode == 2


def bash_completes(tmp_path: Path, *words: str) -> set[str]:
    script = tmp_path / "completion.bash"
    script.write_text(run(CLLM, "completion", "bash"))
    quoted = " ".join(f"'{word}'" for word in words)
    return set(run("bash", "-c", f"""
        set -u; source {script}
        COMP_WORDS=({quoted}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        complete -p cllm >/dev/null; _cllm; printf '%s\\n' "${{COMPREPLY[@]}}"
        """, CLLM_MODELS=str(tmp_path / "models")).split())  # fmt: skip


def test_bash(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name in ("qwen3-0.6b", "mine"):
        (models / f"{name}.gguf").write_bytes(b"x")
    assert bash_completes(tmp_path, "cllm", "") == set(COMMANDS)
    assert bash_completes(tmp_path, "cllm", "pu") == {"pull"}
    assert bash_completes(tmp_path, "cllm", "serve", "--kv-t") == {"--kv-tokens", "--kv-type"}
    assert bash_completes(tmp_path, "cllm", "serve", "--kv-type", "") == {"f16", "q8_0"}
    assert bash_completes(tmp_path, "cllm", "serve", "--port", "8") == set()
    assert bash_completes(tmp_path, "cllm", "rm", "") == {"qwen3-0.6b", "mine"}
    assert bash_completes(tmp_path, "cllm", "serve", "-m", "qw") == {"qwen3-0.6b"}
    assert "smollm2-135m" in bash_completes(tmp_path, "cllm", "pull", "smol")
    assert bash_completes(tmp_path, "cllm", "run", f"{models}/mi") == {f"{models}/mine.gguf"}
    assert bash_completes(tmp_path, "cllm", "man", "ser") == {"serve"}


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
def test_zsh(tmp_path: Path) -> None:
    (tmp_path / "_cllm").write_text(run(CLLM, "completion", "zsh"))
    load = f"fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -D -u; echo $_comps[cllm]; autoload +X _cllm"
    assert run("zsh", "-f", "-c", load, HOME=str(tmp_path)).split() == ["_cllm"]
    direct = f"autoload -Uz compinit; compinit -D -u; source {tmp_path}/_cllm; echo $_comps[cllm]"
    assert run("zsh", "-f", "-c", direct, HOME=str(tmp_path)).split() == ["_cllm"]


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish")
def test_fish(tmp_path: Path) -> None:
    script = tmp_path / "cllm.fish"
    script.write_text(run(CLLM, "completion", "fish"))

    def completes(line: str) -> set[str]:
        done = run("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'", HOME=str(tmp_path))
        return {entry.split("\t")[0] for entry in done.splitlines()}

    assert completes("cllm pu") == {"pull"}
    assert completes("cllm serve --kv-t") == {"--kv-tokens", "--kv-type"}
    assert completes("cllm serve --kv-type ") == {"f16", "q8_0"}
    assert "smollm2-135m" in completes("cllm pull smol")
