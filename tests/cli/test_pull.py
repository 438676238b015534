"""The model library: `cllm pull` over bad lines and from bad servers, `list`, `show`, `rm`, and models by name."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from fake_hub import COMMIT, FakeHub, tiny_model
from kit import PATIENCE_S, SLOW

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
SMOLLM2 = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"
MODEL = tiny_model()
DIGEST = hashlib.sha256(MODEL).hexdigest()
FILE = "Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf"
# Nothing of the machine's own settings reaches the program.
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "CLLM_", "XDG_")) and "proxy" not in k.lower()}


@dataclass
class Library:
    folder: Path
    hub: FakeHub

    def environment(self, **more: str) -> dict[str, str]:
        return {**CLEAN, "CLLM_MODELS": str(self.folder), "HF_ENDPOINT": self.hub.url, **more}

    def cllm(self, *args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(CLLM), *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120 * SLOW,
            env=self.environment(**env),
            check=False,
        )

    def pull(self, *args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        done = self.cllm("pull", *args, **env)
        assert done.returncode == 0, done.stderr
        return done

    def refused(self, *args: str | Path, **env: str) -> str:
        done = self.cllm("pull", *args, **env)
        assert done.returncode == 1, done.stderr
        return done.stderr

    def start(self, *args: str) -> subprocess.Popen[str]:
        command = [str(CLLM), *args]
        return subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8", env=self.environment())

    def names(self) -> set[str]:
        return {p.name for p in self.folder.iterdir()} if self.folder.exists() else set()

    def record(self, name: str) -> dict[str, object]:
        return json.loads((self.folder / f"{name}.json").read_text())


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with FakeHub(files={FILE: MODEL}) as hub:
        yield Library(tmp_path / "models", hub)


def url(library: Library, name: str = "x/tiny.gguf", content: bytes = MODEL) -> str:
    library.hub.files[name] = content
    return f"{library.hub.url}/{name}"


# ---- the ordinary way ----


def test_a_model_of_the_catalogue(library: Library) -> None:
    done = library.pull("qwen3-0.6b")
    assert f"SHA-256 {DIGEST}, as the source says" in done.stdout
    assert library.names() == {"qwen3-0.6b.gguf", "qwen3-0.6b.json"}
    assert (library.folder / "qwen3-0.6b.gguf").read_bytes() == MODEL
    record = library.record("qwen3-0.6b")
    assert record["source"] == f"hf:{FILE}" and record["sha256"] == DIGEST and record["licence"] == "apache-2.0"
    assert [r.path for r in library.hub.fetched()] == [f"/Qwen/Qwen3-0.6B-GGUF/resolve/{COMMIT}/Qwen3-0.6B-Q8_0.gguf"]
    again = library.pull("qwen3-0.6b")
    assert "is there already" in again.stdout and len(library.hub.fetched()) == 1


def test_a_new_version_replaces_the_old(library: Library) -> None:
    library.pull("qwen3-0.6b")
    library.hub.files[FILE] = tiny_model(1000)
    assert "is there already" not in library.pull("qwen3-0.6b").stdout
    assert (library.folder / "qwen3-0.6b.gguf").read_bytes() == tiny_model(1000)


REPO = {f"Ann/Tiny-GGUF/{name}": tiny_model(100 + i) for i, name in enumerate([
    "Tiny-F16.gguf", "Tiny-Q4_K_M.gguf", "sub/Tiny-Q8_0.gguf", "Tiny-IQ4_XS.gguf", "mmproj-Tiny-Q5_K_M.gguf",
    "Tiny-Q6_K-00001-of-00002.gguf", "README.md"])}  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "name", "path"),
    [
        ("hf:Ann/Tiny-GGUF", "tiny-q4_k_m", "Tiny-Q4_K_M.gguf"),
        ("hf:Ann/Tiny-GGUF:q8_0", "tiny-q8_0", "sub/Tiny-Q8_0.gguf"),
        ("hf:Ann/Tiny-GGUF/sub/Tiny-Q8_0.gguf", "tiny-q8_0", "sub/Tiny-Q8_0.gguf"),
        ("hf.co/Ann/Tiny-GGUF:IQ4_XS", "tiny-iq4_xs", "Tiny-IQ4_XS.gguf"),
        ("https://huggingface.co/Ann/Tiny-GGUF/blob/main/Tiny-F16.gguf", "tiny-f16", "Tiny-F16.gguf"),
    ],
)
def test_files_of_a_repository(library: Library, reference: str, name: str, path: str) -> None:
    library.hub.files.update(REPO)
    library.pull(reference)
    assert (library.folder / f"{name}.gguf").read_bytes() == REPO[f"Ann/Tiny-GGUF/{path}"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hf:Ann/Tiny-GGUF:Q5_K_M", "no file of type Q5_K_M: there are F16, Q4_K_M, Q8_0, IQ4_XS"),
        ("hf:Ann/Tiny-GGUF/none.gguf", "has no file none.gguf"),
        ("hf:Bob/None", "status 404"),
        ("hf:Ann", "it must be OWNER/REPO"),
        ("hf:Ann/../Tiny", "characters that no repository or file has"),
        ("qwen3-0.6", "the catalogue has no model 'qwen3-0.6'; did you mean qwen3-0.6b?"),
        ("ftp://127.0.0.1/x.gguf", "only http, https and file addresses"),
    ],
)
def test_what_cannot_be_found(library: Library, reference: str, message: str) -> None:
    library.hub.files.update(REPO)
    error = library.refused(reference)
    assert message in error and error.count("\n") == 1
    assert library.names() == set()


def test_addresses_files_and_names(library: Library, tmp_path: Path) -> None:
    library.pull(url(library, "x/Tiny.Model.gguf"))
    assert library.record("tiny.model")["verified"] is False
    local = tmp_path / "odd name #1.gguf"
    local.write_bytes(MODEL)
    library.pull(local, "--name", "mine")
    library.pull(f"file://{tmp_path}/odd%20name%20%231.gguf", "--name", "mine-too", "--sha256", DIGEST.upper())
    assert library.record("mine-too")["verified"] is True
    library.pull(url(library).replace("://", "://ann:secret@"), "--name", "closed")
    assert library.record("closed")["source"] == url(library)
    assert {"tiny.model.gguf", "mine.gguf", "mine-too.gguf"} <= library.names()
    assert "cannot be a name in the library" in library.refused(local, "--name", "../mine")
    assert "cannot be a name in the library" in library.refused(local, "--name", "Mine")


# ---- bad lines and bad servers ----


PASSING = [
    [("drop", 50_000), ("drop", 60_000)],
    [("status", 500), ("status", 503)],
    [("status", 429, {"Retry-After": "1"})],
    [("stall", 20)],
    [("drop", 50_000), ("whole",)],
    [("drop", 50_000), ("elsewhere",)],
    [("drop", 0)],
]
# Only the digest and the size that the hub tells can show these.
HIDDEN = [[("short",)], [("corrupt",)], [("drop", 50_000), ("corrupt",)]]


def plan_name(plan: object) -> str:
    return "-".join(str(action[0]) for action in plan) if isinstance(plan, list) else str(plan)


@pytest.mark.parametrize(
    ("known", "plan"),
    [*(("hub", plan) for plan in PASSING + HIDDEN), *(("address", plan) for plan in PASSING if plan[0][0] != "stall")],
    ids=plan_name,
)
def test_what_passes_is_tried_again(library: Library, plan: list[tuple[object, ...]], known: str) -> None:
    library.hub.plan = list(plan)
    done = library.pull("qwen3-0.6b" if known == "hub" else url(library), "--stall-timeout-s", "1", "--name", "m")
    assert "trying again" in done.stderr
    assert (library.folder / "m.gguf").read_bytes() == MODEL
    assert library.names() == {"m.gguf", "m.json"}


def test_it_goes_on_where_it_broke_off(library: Library) -> None:
    address = url(library)
    library.hub.plan = [("drop", 50_000)]
    assert library.refused(address, "--retries", "0")
    assert library.names() == {"tiny.part", "tiny.part-of"}
    assert library.cllm("list").stdout.splitlines()[1].split() == ["tiny", "50.0", "kB", "-", "-", "-", "-", "unfinished"]
    assert library.cllm("list", "--quiet").stdout == ""
    library.pull(address)
    ranges = [r.headers.get("Range") for r in library.hub.fetched()]
    assert ranges == [None, "bytes=50000-"]
    assert library.hub.fetched()[1].headers["If-Range"] == f'"{DIGEST[:16]}"'  # the tag of the first answer
    assert library.names() == {"tiny.gguf", "tiny.json"}


def test_another_version_is_not_continued(library: Library) -> None:
    address = url(library)
    library.hub.plan = [("drop", 50_000)]
    library.refused(address, "--retries", "0")
    url(library, content=tiny_model(210_000, "qwen2"))
    library.pull(address)
    assert (library.folder / "tiny.gguf").read_bytes() == tiny_model(210_000, "qwen2")


def test_a_part_that_is_already_whole_or_too_long(library: Library) -> None:
    for extra in (b"", b"more"):
        library.hub.plan = [("drop", 50_000)]
        library.refused("qwen3-0.6b", "--retries", "0", "--force")
        (library.folder / "qwen3-0.6b.part").write_bytes(MODEL + extra)
        library.pull("qwen3-0.6b", "--force")
        assert (library.folder / "qwen3-0.6b.gguf").read_bytes() == MODEL


@pytest.mark.parametrize(
    ("plan", "args", "message"),
    [
        ([("status", 403)], (), "status 403: not now; check the name, and if it wants a token, set HF_TOKEN"),
        ([("status", 404)], (), "status 404: not now; check the name"),
        ([("status", 500)] * 3, ("--retries", "1"), "status 500"),
        ([("status", 429, {"Retry-After": "100000"})], (), "status 429"),
        ([("corrupt",)] * 2, (), "instead of " + DIGEST),
    ],
    ids=["forbidden", "missing", "broken", "far", "corrupt"],
)
def test_what_does_not_pass_ends_it(library: Library, plan: list, args: tuple[str, ...], message: str) -> None:
    library.hub.plan = list(plan)
    assert message in library.refused("qwen3-0.6b", *args)
    assert "qwen3-0.6b.gguf" not in library.names()


def test_what_is_no_model_is_not_accepted(library: Library) -> None:
    assert "web page" in library.refused(url(library, "x/page.gguf", b"<html>Please log in</html>"))
    assert "the download may be incomplete" in library.refused(url(library, "x/half.gguf", MODEL[:1000]))
    assert "instead of " + "0" * 64 in library.refused(url(library), "--sha256", "0" * 64)
    assert "is no SHA-256" in library.refused(url(library), "--sha256", "abc")
    assert library.names() == set()
    assert "It cannot be run: " in library.pull(url(library, "x/other.gguf", tiny_model(100, "mamba"))).stdout


def test_redirects_keep_the_digest_and_not_the_token(library: Library) -> None:
    with FakeHub(files=dict(library.hub.files)) as store:
        library.hub.token, library.hub.redirect, library.hub.digests = "secret", store.url, False
        assert "set HF_TOKEN" in library.refused("qwen3-0.6b")
        assert "does not give access" in library.refused("qwen3-0.6b", HF_TOKEN="wrong")
        done = library.pull("qwen3-0.6b", HF_TOKEN="secret")
        assert "as the source says" in done.stdout and "secret" not in done.stdout + done.stderr
        assert [r.headers.get("Authorization") for r in store.requests] == [None]
        store.plan = [("corrupt",), ("corrupt",)]
        assert "instead of " + DIGEST in library.refused("qwen3-0.6b", "--force", HF_TOKEN="secret")
    assert "secret" not in "".join(p.read_text() for p in library.folder.glob("*.json"))
    library.hub.redirect = "file:///etc"
    assert library.refused("qwen3-0.6b", "--force", HF_TOKEN="secret")


def test_a_proxy_is_heeded(library: Library) -> None:
    library.pull("qwen3-0.6b", "--hf-endpoint", "http://hub.invalid", http_proxy=library.hub.url)
    assert library.hub.requests[0].path.startswith("http://hub.invalid/api/")


def test_the_disk_must_have_room(library: Library) -> None:
    address = url(library)
    for length in (10**16, 2**63 - 1):
        library.hub.plan = [("vast", length)]
        assert "the disk has room for" in library.refused(address)
    library.hub.plan = [("drop", 50_000), ("vast", 2**63 - 1)]  # more than can be counted, with what is here
    assert "the disk has room for" in library.refused(address)


@pytest.mark.skipif(subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0, reason="no namespaces here")
def test_room_is_looked_at_while_it_comes(library: Library) -> None:
    """A server need not tell a length."""
    address = url(library, content=tiny_model(150_000_000))
    library.hub.plan = [("short",)]
    script = 'mkdir -p "$1" && mount -t tmpfs -o size=100m none "$1" && exec "$2" pull "$3"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(library.folder), str(CLLM), address]
    done = subprocess.run(command, capture_output=True, text=True, env=library.environment(), timeout=120 * SLOW, check=False)
    assert done.returncode == 1 and "the disk has room for" in done.stderr, done.stderr


def test_no_more_comes_than_the_hub_has_listed(library: Library) -> None:
    library.hub.listed = len(MODEL) - 1000
    assert "more comes than the" in library.refused("qwen3-0.6b")
    assert (library.folder / "qwen3-0.6b.part").stat().st_size <= library.hub.listed
    library.hub.listed = 0
    library.pull("qwen3-0.6b")


def test_a_file_that_comes_in_pieces(library: Library) -> None:
    """A server may answer less than the range that was asked for."""
    address = url(library)
    library.hub.plan = [("drop", 50_000), ("piece", 50_000), ("piece", 50_000)]
    library.pull(address)
    assert (library.folder / "tiny.gguf").read_bytes() == MODEL and len(library.hub.fetched()) == 4


def test_what_cannot_be_put_in_its_place_leaves_the_record_alone(library: Library) -> None:
    (library.folder / "tiny.gguf/x").mkdir(parents=True)
    assert "cannot put" in library.refused(url(library))
    assert "tiny.json" not in library.names()


def test_a_password_in_an_address_is_not_shown(library: Library) -> None:
    address = url(library).replace("http://", "http://ann:pa%40ss@")
    library.hub.plan = [("status", 403)]
    refused = library.refused(address)
    assert "status 403" in refused and "ann" not in refused and "ss@" not in refused
    library.pull(address)
    assert library.record("tiny")["source"] == url(library)


def test_what_a_server_says_does_not_steer_the_terminal(library: Library) -> None:
    library.hub.plan = [("status", 403, {}, b"\x1b]0;mine\x07 \xc2\x9b2J \x9b2J")]
    assert re.search(r"status 403: \?]0;mine\? \?\?2J \?2J", library.refused(url(library)))


def test_two_pulls_of_one_model(library: Library) -> None:
    library.hub.plan = [("slow", 20_000, 0.1)]
    pulls = [library.start("pull", "qwen3-0.6b") for _ in range(2)]
    assert [p.wait(PATIENCE_S) for p in pulls] == [0, 0]
    for p in pulls:
        p.communicate()
    assert len(library.hub.fetched()) == 1
    assert library.names() == {"qwen3-0.6b.gguf", "qwen3-0.6b.json"}


def wait_until(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds * SLOW
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_ctrl_c_keeps_what_has_come(library: Library) -> None:
    library.hub.plan = [("slow", 20_000, 0.3)]
    process = library.start("pull", "qwen3-0.6b")
    part = library.folder / "qwen3-0.6b.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 20_000)
    assert "is being fetched at the moment" in library.cllm("rm", "qwen3-0.6b").stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    assert "the next pull goes on from there" in process.communicate()[1]
    library.pull("qwen3-0.6b")
    assert library.hub.fetched()[1].headers["Range"].startswith("bytes=")


def test_names_that_look_like_a_part(library: Library) -> None:
    """`tiny` that was broken off and `tiny.part` have no file in common."""
    library.hub.plan = [("drop", 50_000)]
    assert "tiny" in library.refused("--retries", "0", url(library))
    library.hub.plan = []
    library.pull("--name", "tiny.part", "qwen3-0.6b")
    assert library.names() == {"tiny.part", "tiny.part-of", "tiny.part.gguf", "tiny.part.json"}
    record = library.record("tiny.part")
    library.pull(url(library))
    assert library.hub.fetched()[-1].headers["Range"] == "bytes=50000-"
    assert library.record("tiny.part") == record
    assert "removed" in library.cllm("rm", "tiny").stdout
    assert library.names() == {"tiny.part.gguf", "tiny.part.json"}


def test_what_is_fetched_anew_is_not_removed(library: Library) -> None:
    library.pull("qwen3-0.6b")
    library.hub.plan = [("slow", 20_000, 0.3)]
    process = library.start("pull", "--force", "qwen3-0.6b")
    wait_until(lambda: "qwen3-0.6b.part" in library.names())
    assert "is being fetched at the moment" in library.cllm("rm", "qwen3-0.6b").stderr
    assert "qwen3-0.6b.gguf" in library.names()
    process.kill()  # nobody unlocks it
    process.communicate()
    assert library.cllm("rm", "qwen3-0.6b").returncode == 0
    assert library.names() == set()
    assert "has no model" in library.cllm("rm", "qwen3-0.6b").stderr and library.names() == set()


def test_a_full_disk(library: Library) -> None:
    command = [str(CLLM), "pull", "qwen3-0.6b"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, env=library.environment(), preexec_fn=limit, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1 and "qwen3-0.6b.part: File too large" in done.stderr
    assert library.names() == {"qwen3-0.6b.part", "qwen3-0.6b.part-of"}
    library.pull("qwen3-0.6b")
    assert library.hub.fetched()[-1].headers["Range"] == "bytes=50000-"


def test_any_folder(library: Library) -> None:
    library.folder = library.folder / "my models, größere" / "100% 模型"
    library.pull("qwen3-0.6b")
    assert library.cllm("list", "--quiet").stdout == "qwen3-0.6b\n"
    assert "Q8_0" in library.cllm("show", "qwen3-0.6b").stdout
    copied = library.pull("--name", "copy", library.folder / "qwen3-0.6b.gguf")
    assert "SHA-256" in copied.stdout
    assert library.cllm("rm", "copy", "qwen3-0.6b").returncode == 0 and library.names() == set()


def test_progress_on_a_terminal(library: Library) -> None:
    library.hub.plan = [("slow", 20_000, 0.1)]
    parent, child = pty.openpty()
    process = subprocess.Popen([str(CLLM), "pull", "qwen3-0.6b"], stderr=child, env=library.environment())
    os.close(child)
    screen = b""
    try:
        while data := os.read(parent, 65536):
            screen += data
    except OSError:  # the other end is closed
        pass
    os.close(parent)
    assert process.wait(PATIENCE_S) == 0
    assert b"fetching qwen3-0.6b [" in screen and b" of 200 kB" in screen
    assert screen.endswith(b"\r\x1b[K")


# ---- the library ----


def test_list_show_rm(library: Library) -> None:
    empty = library.cllm("list")
    assert empty.returncode == 0 and empty.stdout == "" and "is empty" in empty.stderr
    assert json.loads(library.cllm("list", "--json").stdout) == []
    library.pull(SMOLLM2, "--name", "smol")
    library.pull("qwen3-0.6b")
    (library.folder / "broken.gguf").write_bytes(b"x")
    lines = library.cllm("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "broken", "qwen3-0.6b", "smol"]
    assert lines[1].endswith("damaged") and lines[2].endswith("cannot be run")
    assert "98.4 MB  Q4_1      llama" in lines[3]
    smol = json.loads(library.cllm("list", "--json").stdout)[2]
    assert smol["runnable"] is True and smol["source"] == f"file://{SMOLLM2.resolve()}"

    shown = library.cllm("show", "smol").stdout
    for part in ("architecture  llama", "context       ", "KV memory     23040 bytes a token, 12240 with --kv-type q8_0\n", "chat template yes", "runnable      yes", "source        file:"):
        assert part in shown
    whole = json.loads(library.cllm("show", "smol", "--json").stdout)
    assert whole["kv_bytes_per_token"] == {"f16": 2 * 30 * 3 * 64 * 2, "q8_0": 2 * 30 * 3 * 64 * 17 // 16}
    assert whole["type"] == "Q4_1" and whole["record"]["sha256"] and whole["context"] > 0
    assert json.loads(library.cllm("show", SMOLLM2, "--json").stdout)["record"] is None

    assert "removed smol (98.4 MB)" in library.cllm("rm", "smol", "broken").stdout
    assert library.names() == {"qwen3-0.6b.gguf", "qwen3-0.6b.json"}
    absent = library.cllm("show", "qwen3-4b")
    assert absent.returncode == 1 and absent.stderr.endswith("; to fetch it: cllm pull qwen3-4b\n")
    assert "smol is neither a file nor in the library" in library.cllm("inspect", "smol").stderr
    gone = library.cllm("rm", "smol")
    assert gone.returncode == 1 and "the library has no model 'smol'" in gone.stderr
    assert library.cllm("rm", "../x").returncode == 1


def test_texts_from_elsewhere_do_not_steer_the_terminal(library: Library) -> None:
    library.hub.licence = "\x1b[2Jmit\x9b"
    library.hub.files["Ann/Tiny/\x1b]0;x-Q4_0.gguf"] = MODEL
    assert "\x1b" not in library.refused("hf:Ann/Tiny:Q8_0")
    library.hub.files["Ann/Tiny/t-Q8_0.gguf"] = MODEL
    done = library.pull("hf:Ann/Tiny:Q8_0")
    for text in (done.stdout, library.cllm("list").stdout, library.cllm("show", "t-q8_0").stdout):
        assert "?[2Jmit" in text or "\x1b" not in text
        assert "\x1b" not in text and "\x9b" not in text


def test_the_catalogue(library: Library) -> None:
    library.pull("qwen3-0.6b")
    table = {line.split()[0]: line for line in library.cllm("list", "--catalogue").stdout.splitlines()}
    assert "in the library" in table["qwen3-0.6b"] and "in the library" not in table["smollm2-135m"]
    assert max(map(len, table.values())) <= 80
    models = json.loads(library.cllm("list", "--catalogue", "--json").stdout)
    assert {m["name"] for m in models} == set(table) - {"NAME"}
    assert all(m["source"].startswith("hf:") and m["licence"] and m["gigabytes"] > 0 for m in models)


def test_the_usual_folder(library: Library, tmp_path: Path) -> None:
    env = {k: v for k, v in library.environment().items() if k != "CLLM_MODELS"}
    for more, folder in (
        ({"XDG_CACHE_HOME": str(tmp_path / "cache")}, tmp_path / "cache/cllm/models"),
        ({"HOME": str(tmp_path / "home")}, tmp_path / "home/.cache/cllm/models"),
    ):
        subprocess.run([str(CLLM), "pull", "qwen3-0.6b"], env={**env, **more}, capture_output=True, check=True)
        assert (folder / "qwen3-0.6b.gguf").exists()


def served(port: int) -> str:
    try:
        return requests.get(f"http://127.0.0.1:{port}/v1/models", timeout=PATIENCE_S).json()["data"][0]["id"]
    except (requests.RequestException, KeyError, IndexError):
        return ""


def test_models_by_name(library: Library) -> None:
    answer = ["-p", "The capital of France is", "--raw", "-n", "4", "--temperature", "0"]
    library.hub.files["bartowski/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q8_0.gguf"] = SMOLLM2.read_bytes()
    first = library.cllm("run", "smollm2-135m", *answer)  # fetched before it answers
    assert first.returncode == 0 and "Paris" in first.stdout and "is in the library now" in first.stderr
    n = len(library.hub.requests)
    again = library.cllm("run", "smollm2-135m", *answer)
    assert again.stdout == first.stdout and again.stderr == "" and len(library.hub.requests) == n
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = library.start("serve", "smollm2-135m", "--port", str(port), "--threads", "1")
    try:
        wait_until(lambda: served(port) == "smollm2-135m")
    finally:
        server.kill()
        server.communicate()
    for reference in ("hf:bartowski/SmolLM2-135M-Instruct-GGUF", "hf:bartowski/SmolLM2-135M-Instruct-GGUF:q8_0"):
        n = len(library.hub.requests)
        assert library.cllm("run", reference, *answer).stdout == first.stdout and len(library.hub.requests) == n
    other = library.cllm("run", "hf:bartowski/SmolLM2-135M-Instruct-GGUF:Q4_0", *answer)
    assert "no file of type Q4_0" in other.stderr
    unknown = library.cllm("run", "smollm2-135", *answer)
    assert unknown.returncode == 1 and "did you mean smollm2-135m?" in unknown.stderr
