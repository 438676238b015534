#!/usr/bin/env python3
"""Turn result files of unified_benchmark.py into a Markdown report with plots.

    python3 tools/report.py run_8.json run_16.json --compare old_8.json old_16.json --out report

writes report/report.md and its PNG files. The same input gives the same output: nothing in it depends on
the time or the place of writing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchlib.report_data import ReportError, load_levels
from benchlib.report_text import write_report
from benchlib.result import write_text


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make a Markdown report with plots from benchmark results.",
                                     epilog="Exit status: 0 written, 2 an input or matplotlib is missing.")
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.json",
                        help="files written by unified_benchmark.py --output-file")
    parser.add_argument("--compare", nargs="+", type=Path, default=[], metavar="OLD.json",
                        help="results of earlier runs to compare with")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the report")
    parser.add_argument("--title", default="Concurrency test report", help="default: %(default)s")
    parser.add_argument("--note", action="append", default=[], metavar="TEXT",
                        help="a remark at the report's head, such as 'synthetic weights'; may be repeated")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    args = parse_arguments(argv)
    try:
        from benchlib.report_plots import draw_plots
    except ImportError as exc:
        print(f"error: the plots need matplotlib ({exc}). Remedy: python3 -m pip install matplotlib, "
              "or run this with the Python of a virtual environment that has it", file=sys.stderr)
        return 2
    try:
        levels = load_levels(args.results)
        earlier = load_levels(args.compare)
        args.out.mkdir(parents=True, exist_ok=True)
        plots = draw_plots(levels, earlier, args.out)
        target = args.out / "report.md"
        write_text(str(target), write_report(args.title, args.note, levels, earlier, plots))
    except (ReportError, OSError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    print(f"{target} and {len(plots)} plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
