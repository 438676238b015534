"""For all suites: what starts a server and tells how patient to be (`SLOW`) is in tests/api/kit.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "api"))
