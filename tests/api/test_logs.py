"""The log of a server: JSON lines, a renamed file, the level while it runs, and what never stands in it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

from kit import PATIENCE_S, Server


def wait_for(path: Path, text: str) -> str:
    end = time.monotonic() + PATIENCE_S
    while not path.exists() or text not in path.read_text(encoding="utf-8"):
        assert time.monotonic() < end, f"no {text!r} in {path}"
        time.sleep(0.01)
    return path.read_text(encoding="utf-8")


def test_json_lines(make_server: Callable[..., Server]) -> None:
    server = make_server("--log-format", "json", "--model-id", 'odd "name"\\\n')
    made = server.generate("A secret word", max_tokens=3, ignore_eos=True)
    server.wait_log("request_end")
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert all(list(line)[:3] == ["time", "level", "event"] for line in lines)
    events = {line["event"]: line for line in lines}
    assert events["ready"]["model"] == 'odd "name"\\\n' and events["listening"]["port"] == server.port
    end = events["request_end"]
    assert list(end)[3] == "id" and end["id"] == made["id"] and end["reason"] == "length"
    assert end["tokens"] == 3 and isinstance(end["total_ms"], float)


def test_no_prompt_and_no_answer_in_the_log(make_server: Callable[..., Server]) -> None:
    server = make_server("--log-level", "debug")
    made = server.generate("Xylophone quartz", max_tokens=12, ignore_eos=True)
    server.post("/generate", {"prompt": "Xylophone", "temperature": "Xylophone"})
    server.wait_log(f"request_end id={made['id']} ")
    assert "Xylophone" not in server.log and "quartz" not in server.log
    assert len(made["text"].strip()) < 4 or made["text"].strip() not in server.log


def test_reopened_after_a_rename(make_server: Callable[..., Server], tmp_path: Path) -> None:
    log, moved = tmp_path / "cllm.log", tmp_path / "cllm.log.1"
    server = make_server("--log-file", str(log), log=log)
    log.rename(moved)
    first = server.generate("Hello", max_tokens=2)
    wait_for(moved, f"request_end id={first['id']}")
    server.signal(signal.SIGHUP)
    wait_for(log, "log_reopened")
    second = server.generate("Hello", max_tokens=2)
    assert first["id"] not in wait_for(log, f"request_end id={second['id']}")
    assert second["id"] not in moved.read_text(encoding="utf-8")


def test_level_while_it_runs(make_server: Callable[..., Server]) -> None:
    server = make_server()
    server.signal(signal.SIGUSR2)
    server.wait_log("log_level level=warn")
    server.generate("Hello", max_tokens=2)
    assert "request_" not in server.log
    server.signal(signal.SIGUSR1)
    server.wait_log("log_level level=info")
    server.generate("Hello", max_tokens=2)
    server.wait_log("request_end")
    server.signal(signal.SIGUSR1)
    server.wait_log("log_level level=debug")
    server.signal(signal.SIGUSR1)  # there is nothing above
    server.wait_log("(?s)log_level level=debug.*log_level level=debug")
