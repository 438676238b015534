"""Parts of the benchmark tools: `unified_benchmark.py` measures a server, `report.py` writes it up.

The measuring side (everything that does not start with `report_`) needs the standard library only, so
that it runs on any machine with Python 3.9 or later; tqdm is used for the progress bar where it is there.
"""
