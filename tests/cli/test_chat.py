"""A chat in a terminal: editing, history, several lines, commands, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import resource
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kit import PATIENCE_S, SLOW
from terminal import Terminal, in_terminal

ROOT = Path(__file__).resolve().parents[2]
CLLM = Path(os.environ.get("CLLM_BIN", ROOT / "build/release/cllm"))
SMOLLM2 = ROOT / "models/smollm2-135m-instruct-q4_1.gguf"

PROMPT = r"\r\n> $"
ANSWER = r"\r\n.+\r\n> $"
GREEDY = ("--temperature", "0", "--repetition-penalty", "1")
CAPITAL = "What is the capital of France? Answer in one sentence."
PASTE = "\x1b[200~{}\x1b[201~"
UP = "\x1b[A"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def chat(state: Path, *options: str, **env: str) -> Iterator[Terminal]:
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LC_ALL", "LANG", "LC_CTYPE")}
    env = {**clean, "TERM": "xterm-256color", "HOME": str(state), "XDG_STATE_HOME": str(state), **env}
    with in_terminal([CLLM, "run", SMOLLM2, *GREEDY, *options], env, SLOW) as terminal:
        terminal.wait_for("> $")
        yield terminal


def history(state: Path) -> list[str]:
    return [json.loads(line) for line in (state / "cllm/run_history").read_text().splitlines()]


def saved(path: Path) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in json.loads(path.read_text())["messages"]]


def test_a_chat_remembers_until_cleared(state: Path) -> None:
    with chat(state, "-n", "24") as terminal:
        terminal.type(f"{CAPITAL}\n")
        first = terminal.wait_for(ANSWER).group()
        assert "Paris" in first
        terminal.type("And of Italy? Answer in one sentence.\n")
        assert "Rome" in terminal.wait_for(ANSWER).group()
        terminal.type("/clear\n")
        terminal.wait_for(PROMPT)
        terminal.type(f"{CAPITAL}\n")
        assert terminal.wait_for(ANSWER).group() == first
        assert terminal.leave() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(state: Path) -> None:
    with chat(state, "-n", "2000", "-v") as terminal:
        terminal.type("Write a long story about a ship.\n")
        terminal.wait_for(r"\r\n\w+ \w+ ")
        terminal.type("\x03")
        n = int(terminal.wait_for(r"answer: (\d+) tokens").group(1))
        assert 0 < n < 200
        terminal.wait_for(PROMPT)
        terminal.type("half a line\x03")  # at the prompt it drops the line
        terminal.wait_for(PROMPT)
        assert terminal.process.poll() is None
        assert terminal.leave() == 0


def test_ctrl_d_typed_while_an_answer_comes_ends_the_chat(state: Path) -> None:
    with chat(state, "-n", "60") as terminal:
        terminal.type("Write a long story about a ship.\n")
        terminal.wait_for(r"\r\n\w+ \w+ ")
        assert terminal.leave() == 0


def test_editing_history_and_several_lines(state: Path, tmp_path: Path) -> None:
    with chat(state, "-n", "1") as terminal:
        for keys in (
            "wrxold\x1b[D\x1b[D\x7fo\x1b[D\x1b[D\x1b[3~\x1b[F!\x7f\x1b[HHello \n",  # arrows, backspace, delete, end, home
            "Grüße, 你好\n",
            'not """ a block\n',
            '"""\nfirst\n\nthird\n"""\n',
            '"""one line"""\n',
            "one\\\ntwo\n",
            PASTE.format("p1\rp2\x1b[31m\tq") + " end\n",
            f"{UP}{UP} again\n",
        ):
            terminal.type(keys)
            terminal.wait_for(ANSWER)
        terminal.type(f"/save {tmp_path}/chat.json\n")
        terminal.wait_for("saved in ")
        terminal.wait_for(PROMPT)
        assert terminal.leave() == 0
    typed = [text for role, text in saved(tmp_path / "chat.json") if role == "user"]
    assert typed == [
        "Hello wrold", "Grüße, 你好", 'not """ a block', "first\n\nthird", "one line", "one\ntwo",
        "p1\np2[31m\tq end", "one\ntwo again",
    ]  # fmt: skip
    assert history(state)[:-1] == typed
    assert stat.S_IMODE((state / "cllm/run_history").stat().st_mode) == 0o600

    with chat(state, "-n", "1") as terminal:  # another day
        terminal.type(f"{UP}{UP} more\n")
        terminal.wait_for(ANSWER)
        terminal.type("\x12Grü\n")  # Ctrl-R searches
        terminal.wait_for(ANSWER)
        assert terminal.leave() == 0
    assert history(state)[-2:] == ["one\ntwo again more", "Grüße, 你好"]
    with chat(state, "-n", "1", "--history", "0") as terminal:
        n = len(history(state))
        terminal.type(f"{UP}secret\n")
        terminal.wait_for(ANSWER)
        assert terminal.leave() == 0
    assert len(history(state)) == n


def test_commands(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "a chat.json"
    with chat(state, "-n", "24", "-s", "You are a helpful assistant.") as terminal:
        assert re.search(r"Smollm2 135M .* \(Q4_1\)\r\nCtrl-C stops", terminal.raw)  # what one talks to

        def say(keys: str, expect: str) -> str:
            terminal.type(keys + "\n")
            return terminal.wait_for(expect + r".*?\r\n> $").group()

        say("/help", "/system .*/save")
        say("/hel\t", "/system .*/save")  # Tab completes
        say("/sytsem x", "there is no command /sytsem")
        say("/set", "temperature +0\r")
        say("/set top_q 1", "there is no setting 'top_q'")
        say("/set temperature hot", "'hot' is not a number")
        say("/set temperature 101", "out of range")
        say("/set max_tokens 3", "")
        say("/show", "llama, Q4_1.*messages  1.*max_tokens +3\r")
        say("/system", "You are a helpful assistant")
        say("/system Answer in French.", "")
        say("/usr/bin is a folder", "")
        say("//help is text", "")
        say(f"/save {file}", "saved in")
        say("/clear", "")
        say("/show", "messages  1")
        say("/set max_tokens 9", "")
        say(f"/load {file}", "loaded 5 messages")
        say("/show", "messages  5.*max_tokens +3\r")
        say('/system ""', "")
        say("/show", "messages  4")
        say(f"/load {SMOLLM2}", "expected near 'GGUF'")
        say("/save", "wants the name of a file")
        other = tmp_path / "other.json"
        other.write_text('{"messages": 1}')
        say(f"/load {other}", "is no conversation|that is no conversation")
        say(f"/save {other}", "is no saved chat")
        assert other.read_text() == '{"messages": 1}'
        terminal.type("/exit\n")
        assert terminal.process.wait(PATIENCE_S) == 0
    messages = saved(file)
    assert [role for role, _ in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert [text for role, text in messages if role != "assistant"] == [
        "Answer in French.", "/usr/bin is a folder", "/help is text",
    ]  # fmt: skip


def test_what_is_loaded_does_not_steer_the_terminal(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps({"messages": [{"role": "system", "content": "one\x1b]0;mine\x07\ntwo\x9b2J"}]}))
    with chat(state) as terminal:
        terminal.type(f"/load {file}\n")
        terminal.wait_for(r"loaded 1 messages\r\n> $")
        terminal.type("/system\n")
        terminal.wait_for(r"\r\none\]0;mine\r\ntwo2J\r\n> $")
        terminal.type("/load no\x16\x1b[5msuch\n")  # Ctrl-V: as it is
        terminal.wait_for(r"unable to open no.*\r\n> $")
        assert "\x1b]0;" not in terminal.raw and "\x9b" not in terminal.raw and "\x1b[5m" not in terminal.raw


@pytest.mark.parametrize(
    ("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str
)
def test_colours_only_where_they_are_wanted(state: Path, env: dict[str, str], coloured: bool) -> None:
    with chat(state, "-n", "1", "-v", **env) as terminal:
        terminal.type("Hi\n")
        terminal.wait_for(r"first token after.*\r\n> $")
        colours = terminal.raw.count("\x1b[1;32m") + terminal.raw.count("\x1b[2m")
        assert (colours > 0) == coloured


def counted(text: str) -> bytes:
    return len(text.encode()).to_bytes(8, "little") + text.encode()


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 whose template opens its thinking, and which says "</think>" where it means " France".

    Every change keeps the length. A merge that makes " France" gives way to a copy of a later one.
    """
    data = SMOLLM2.read_bytes()
    later = re.search(rb"\x09\0\0\0\0\0\0\0(\xc4\xa0\w\w \w{4})", data[data.find("ĠFr ance".encode()) + 9 :])
    assert later
    start = data.find(b"{% for message in messages")
    template = data[start : data.find(b"{% endif %}", data.find(b"add_generation_prompt", start)) + 11]
    thinking = template.replace(b"trained by Hugging Face", b"trained by HF").replace(b"assistant\n", b"assistant\n<think>\n")
    for old, new in (
        (counted("ĠFrance"), counted("</think>")),
        (counted("ĠFr ance"), counted(later.group(1).decode())),
        (template, thinking.replace(b"{% endif %}", b"{%   endif %}", 1)),
    ):
        assert data.count(old) == 1 and len(old) == len(new)
        data = data.replace(old, new)
    path = tmp_path_factory.mktemp("thinker") / "thinker.gguf"
    path.write_bytes(data)
    return path


COUNTRY = "What is the Eiffel tower and where does it stand?"


def test_thinking_is_apart_from_the_answer(state: Path, thinker: Path, tmp_path: Path) -> None:
    command = [CLLM, "run", thinker, *GREEDY, "-n", "40"]
    env = {**os.environ, "TERM": "xterm-256color", "XDG_STATE_HOME": str(state)}

    def piped(*options: str) -> str:
        whole = [*command, "-p", COUNTRY, *options]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=PATIENCE_S, check=True, env=env)
        assert done.stderr == "" and "\x1b" not in done.stdout
        return done.stdout

    answer, both = piped(), piped("--show-thinking", "on")
    assert answer.strip() and both.endswith("\n\n" + answer) and len(both) > len(answer) + 2
    thought = both.removesuffix("\n\n" + answer)
    assert "think>" not in both
    with in_terminal(command, env, SLOW) as terminal:
        terminal.wait_for("> $")
        terminal.type(f"{COUNTRY}\n")
        terminal.wait_for(ANSWER)
        assert f"\x1b[2m{thought}\x1b[0m\r\n\r\n".replace("\n", "").replace("\r", "") in terminal.raw.replace(
            "\n", ""
        ).replace("\r", "")
        terminal.type(f"/save {tmp_path}/chat.json\n")
        terminal.wait_for("saved in")
    assert saved(tmp_path / "chat.json") == [("user", COUNTRY), ("assistant", answer.removesuffix("\n"))]


def test_a_save_that_fails_leaves_the_old_one(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved" / "chat.json"
    file.parent.mkdir()
    with chat(state, "--history", "0") as terminal:
        terminal.type(f"/save {file}\n")
        terminal.wait_for("saved in ")
        before = file.read_bytes()
        terminal.type("/system Speak French.\n")
        terminal.wait_for(PROMPT)
        resource.prlimit(terminal.process.pid, resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))  # as on a full disk
        terminal.type(f"/save {file}\n")
        terminal.wait_for("cannot write .*File too large")
        assert terminal.leave() == 0
    assert [one.name for one in file.parent.iterdir()] == ["chat.json"]
    assert file.read_bytes() == before
