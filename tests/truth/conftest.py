"""Fixtures of the truth tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import reference
import support


@pytest.fixture(scope="session")
def cllm() -> None:
    """The engine's binary; its absence is a failure, not a reason to skip."""
    if not support.CLLM.exists():
        pytest.fail(f"{support.CLLM} does not exist: run `make`, or set CLLM_BIN", pytrace=False)


@pytest.fixture(scope="module")
def smollm2() -> reference.Model:
    if not support.SMOLLM2.exists():
        pytest.fail(f"{support.SMOLLM2} does not exist: run `python tools/fetch_model.py`", pytrace=False)
    return reference.load(support.SMOLLM2)


@pytest.fixture(scope="module")
def llamacpp_smollm2() -> Iterator[support.LlamaCpp]:
    yield support.LlamaCpp(support.SMOLLM2)
