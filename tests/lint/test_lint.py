"""The checks themselves: each finds what it is there for in a small tree, and nothing in a clean one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import check_files
import check_includes
import check_options
import check_text


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    write(tmp_path, "src/base/a.h", "#ifndef CLLM_BASE_A_H\n#define CLLM_BASE_A_H\n#endif\n")
    write(tmp_path, "src/gguf/b.c", '#include "base/a.h"\nint f(void) {\n    return o->port;\n}\n')
    write(tmp_path, "src/cli/options.def", 'OPT_INT   (port, "help")\n')
    return tmp_path


def found(check: object, root: Path) -> list[str]:
    return list(check.check(root))  # type: ignore[attr-defined]


@pytest.mark.parametrize("check", [check_files, check_includes, check_options, check_text])
def test_a_clean_tree_passes(check: object, clean: Path) -> None:
    assert found(check, clean) == []


def test_includes_against_the_table(clean: Path) -> None:
    write(clean, "src/kernels/k.c", '#include "gguf/g.h"\n#include "base/a.h"\n')
    write(clean, "src/gguf/g.h", "")
    write(clean, "src/constrain/c.c", '#include "engine/constraint.h"\n#include "engine/engine.h"\n')
    write(clean, "src/engine/constraint.h", "")
    write(clean, "src/engine/engine.h", "")
    assert found(check_includes, clean) == [
        "src/constrain/c.c:2: constrain may not include engine/engine.h",
        "src/kernels/k.c:1: kernels may not include gguf/g.h",
    ]


def test_circles_and_missing_includes(clean: Path) -> None:
    write(clean, "src/base/x.h", '#include "base/y.h"\n')
    write(clean, "src/base/y.h", '#include "base/z.h"\n#include "base/none.h"\n')
    write(clean, "src/base/z.h", '#include "base/x.h"\n')
    missing, circle = found(check_includes, clean)
    assert missing == 'src/base/y.h:2: "base/none.h" does not exist'
    assert circle == "circle of includes: src/base/x.h -> src/base/y.h -> src/base/z.h -> src/base/x.h"


def test_sizes_names_and_guards(clean: Path) -> None:
    write(clean, "src/text/a.h", "#ifndef CLLM_A_H\n#define CLLM_A_H\n#endif\n")
    write(clean, "src/text/long.c", "int f(void) {\n" + "    g();\n" * 101 + "}\n" + "\n" * 900)
    write(clean, "src/kernels/avx2/k.c", "")
    write(clean, "src/kernels/scalar/k.c", "")
    messages = found(check_files, clean)
    assert [m.split(":")[0] for m in messages] == [
        "a.h is the name of several files", "src/text/a.h", "src/text/long.c", "src/text/long.c",
    ]  # fmt: skip


def test_places_and_unfinished_text(clean: Path) -> None:
    write(clean, "docs/x.md", "see /ho" + "me/me/x\n/usr/share/home/x is fine\n")
    write(clean, "src/base/t.c", "// TO" + "DO: more\n")
    assert [m.rsplit(": ", 1)[0] for m in found(check_text, clean)] == [
        "docs/x.md:1: names a place of a machine or a host", "src/base/t.c:1: unfinished by its own words",
    ]  # fmt: skip


def test_an_option_that_nothing_reads(clean: Path) -> None:
    write(clean, "src/cli/options.def", 'OPT_INT(port, "x")\nOPT_STR(ghost, "x")\n')
    assert found(check_options, clean) == ["src/cli/options.def: no C file reads ghost"]
