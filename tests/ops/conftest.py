"""Fixtures of the tests of operators."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MMAGG_REASSEMBLY', raising=False)
