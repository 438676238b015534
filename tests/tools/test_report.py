"""tools/report.py: figures, comparison, honest wording, plots, and the same output every time."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import report
from benchlib.options import parse_options
from benchlib.report_data import change, load_levels
from benchlib.report_text import command
from benchlib.result import RequestRecord, build_result, log_lines
from benchlib.stats import summarise

ENVIRONMENT = {"commit": "abc123", "commit_dirty": False, "cpu_model": "Test CPU", "cpu_count": 2,
               "platform": "Linux x86_64", "python_version": "3.11.7"}


def make_run(folder: Path, workers: int, pace: float, stream: bool = False, failures: int = 0,
             log: bool = True) -> Path:
    """The files of a made-up run of 72 requests of 50 tokens, each taking about `pace` seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"run_{workers}.json"
    argv = ["--server-type", "cllm", "--test-type", "api-concurrent", "--concurrency", str(workers),
            "--output-file", str(path)] + (["--stream"] if stream else [])
    options = parse_options(argv)
    records, free = [], [0.0] * workers
    for i in range(72):
        worker = free.index(min(free))
        start = free[worker]
        free[worker] = end = start + pace * (1 + 0.04 * ((i * 7) % 9 - 4))
        record = RequestRecord(i, i % 5, start, end, 200, 50, 20, "length")
        if stream:
            record.ttft, record.gaps = pace / 10, [pace / 60 * (1 + 0.1 * (i % 3))] * 49
        if i < failures:
            record.status, record.tokens, record.error = 500, None, "HTTP 500: a|b"
        records.append(record)
    result = build_result(options, "fake-model", {"concurrent": summarise(records, 50)}, 5, ENVIRONMENT)
    result["test_time"] = "2026-03-01T10:00:00+00:00"
    path.write_text(json.dumps(result), encoding="utf-8")
    if log:
        text = "\n".join(log_lines("concurrent", records)) + "\n"
        path.with_suffix(".requests.jsonl").write_text(text, encoding="utf-8")
    return path


def make_old(folder: Path, workers: int, **phase: Any) -> Path:
    """A file of the old tool: the common fields only."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"old_{workers}.json"
    figures = {"total_requests": 72, "successful_requests": 71, "failed_requests": 1,
               "avg_response_time": 3.0, "min_response_time": 2.5, "max_response_time": 3.5,
               "avg_throughput": 100.0, "total_generated_tokens": 3550, "total_test_time": 35.5, **phase}
    path.write_text(json.dumps({
        "test_time": "2026-01-20", "server_type": "cllm", "server_url": "http://localhost:8080",
        "model": None, "requests": 72, "concurrency": workers, "max_tokens": 50,
        "sequential": None, "concurrent": figures,
    }), encoding="utf-8")
    return path


def make_report(out: Path, *arguments: Any) -> str:
    """Run the tool in this process; the report's text."""
    assert report.main([*map(str, arguments), "--out", str(out)]) == 0
    return (out / "report.md").read_text(encoding="utf-8")


def is_png(path: Path) -> bool:
    data = path.read_bytes()
    return data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) > 5000


def test_report(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, workers, pace) for workers, pace in ((16, 3.2), (8, 2.0), (32, 5.0))]
    text = make_report(tmp_path / "out", *runs, "--title", "Our title")
    assert text.startswith("# Our title\n")
    for section in ("Overview", "Test configuration", "Results", "Key figures", "Detail per level",
                    "Environment", "Commands"):
        assert f"\n## {section}\n" in text
    assert "Comparison" not in text and "synthetic" not in text and str(tmp_path) not in text
    assert text.index("| **8** | 72/72 | 0 |") < text.index("| **16** |") < text.index("| **32** |")
    levels = load_levels(runs)
    for level in levels:
        assert f"**{level.phase['avg_throughput']:.2f}**" in text
    rise = change(levels[0].number("avg_throughput"), levels[2].number("avg_throughput"))
    assert rise.startswith("+") and f"| {rise} |" in text
    assert "216 of 216 (100.0%)" in text and "Test CPU" in text and "`abc123`" in text
    for name in ("throughput.png", "latency.png", "latency_distribution.png"):
        assert f"]({name})" in text and is_png(tmp_path / "out" / name)
    assert "streaming.png" not in text and "TTFT" not in text


def test_streaming_and_failures(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, 8, 2.0, stream=True, failures=2), make_run(tmp_path, 16, 3.0, stream=True)]
    text = make_report(tmp_path / "out", *runs, "--note", "synthetic weights", "--note", "second")
    assert "> **Note**: synthetic weights\n" in text and "> **Note**: second\n" in text
    assert "### Streaming" in text and "| 8 | 200.0 |" in text
    assert is_png(tmp_path / "out" / "streaming.png")
    assert "| **8** | 70/72 | 2 |" in text and "2 x HTTP 500: a|b" in text
    assert "142 of 144 (98.6%)" in text


def test_no_log_no_distribution(tmp_path: Path) -> None:
    text = make_report(tmp_path / "out", make_run(tmp_path, 8, 2.0, log=False))
    assert "latency_distribution" not in text and not (tmp_path / "out" / "latency_distribution.png").exists()


def test_comparison(tmp_path: Path) -> None:
    new = make_old(tmp_path / "new", 8, avg_throughput=250.0, avg_response_time=1.5,
                   total_generated_tokens=3600, total_test_time=14.4, successful_requests=72)
    alone = make_old(tmp_path / "new", 24)
    old = make_old(tmp_path / "old", 8)
    text = make_report(tmp_path / "out", new, alone, "--compare", old)
    row = next(line for line in text.splitlines() if line.startswith("| 8 | old_8.json |"))
    assert "| 100.00 | 250.00 | **+150.0 %** | 3.00 | 1.50 | **-50.0 %** | 98.6% → 100.0% |" in row
    assert "No earlier run at concurrency 24." in text
    assert "not recorded" in text and "Caution" not in text
    assert "A closed loop" not in text  # nothing is claimed of files that another tool wrote


def test_comparison_names_what_differs(tmp_path: Path) -> None:
    old = make_old(tmp_path, 8)
    data = json.loads(old.read_text(encoding="utf-8"))
    old.write_text(json.dumps({**data, "max_tokens": 100, "model": "other"}), encoding="utf-8")
    text = make_report(tmp_path / "out", make_run(tmp_path, 8, 2.0), "--compare", old)
    assert "- max_tokens: 100 earlier, 50 now" in text and "- model: other earlier, fake-model now" in text
    assert "Not recorded in the earlier files: " in text and "CPU" in text


def test_counting_error_is_told(tmp_path: Path) -> None:
    old = make_old(tmp_path, 32, avg_throughput=347.99)
    text = make_report(tmp_path / "out", make_run(tmp_path, 32, 2.0), "--compare", old)
    assert "**Caution**: old_32.json states 347.99 tokens/s" in text and "are 100.00 tokens/s" in text


def test_repeats_are_kept_apart(tmp_path: Path) -> None:
    text = make_report(tmp_path / "out", make_run(tmp_path / "a", 8, 2.0), make_run(tmp_path / "b", 8, 2.1))
    assert "| **8** |" in text and "| **8, run 2** |" in text


def test_same_input_same_output(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, workers, 2.0, stream=True) for workers in (8, 16)]
    for name in ("one", "two"):
        make_report(tmp_path / name, *runs)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_command_is_the_reports_own() -> None:
    source = {"server_type": "cllm", "server_url": "http://localhost:8080", "requests": 72, "concurrency": 8,
              "max_tokens": 50, "sequential": None, "concurrent": {}}
    assert command(source, "r.json") == (
        "python3 tools/unified_benchmark.py --server-type cllm --test-type api-concurrent --requests 72 "
        "--concurrency 8 --max-tokens 50 --output-file r.json")
    source.update(server_type="openai", server_url="http://h:1", model="a b", seed=0, stream=True,
                  sequential={})
    words = command(source, "r.json")
    assert "--server-url http://h:1 --model 'a b' --test-type all" in words and "--seed 0 --stream" in words


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"concurrency": 8}',
                                  '{"concurrency": 8, "concurrent": {"total_requests": 1}}'])
def test_bad_input(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    assert report.main([str(path), "--out", str(tmp_path / "out")]) == 2
    assert "bad.json" in capsys.readouterr().err
    assert report.main([str(tmp_path / "none.json"), "--out", str(tmp_path / "out")]) == 2
    assert "Remedy" in capsys.readouterr().err


def test_missing_matplotlib(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                            monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "matplotlib" or name == "benchlib.report_plots":
            raise ImportError("No module named 'matplotlib'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert report.main([str(tmp_path / "a.json"), "--out", str(tmp_path)]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


def test_change() -> None:
    assert [change(100, 96.4), change(100, 103), change(0, 5), change(None, 5)] == [
        "-3.6 %", "+3.0 %", "–", "–"]
