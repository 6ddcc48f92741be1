"""Heads of grid cells on the pretended CUDA device."""

from collections.abc import Callable

import pytest
from expectations import check_budget, check_predictions, check_training
from families import GRID

families = pytest.mark.parametrize('name', GRID)


@pytest.fixture(scope='module')
def found(findings_of: Callable) -> dict:
    return findings_of(*GRID)


@families
def test_a_prediction_is_that_of_the_cpu(found: dict, name: str) -> None:
    assert 'error' not in found[name], found[name]['error']
    check_predictions(found[name])


@families
def test_a_training_step_is_that_of_the_cpu(found: dict, name: str) -> None:
    assert 'error' not in found[name], found[name]['error']
    check_training(found[name])


@families
def test_neither_waits_nor_launches_more_than_before(found: dict, name: str) -> None:
    assert 'error' not in found[name], found[name]['error']
    check_budget(found[name]['predict']['many'], *GRID[name].predict)
    check_budget(found[name]['train'], *GRID[name].train)
