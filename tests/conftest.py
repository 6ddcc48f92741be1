"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope='session')
def shared() -> Path:
    """The folder of reference material (`MMAGG_SHARED`, or `shared` beside the checkout); skips where there is none."""
    path = Path(os.environ.get('MMAGG_SHARED', ROOT.parent / 'shared'))
    if not path.is_dir():
        pytest.skip(f'reference folder {path} is not here; set MMAGG_SHARED to run this test')
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
