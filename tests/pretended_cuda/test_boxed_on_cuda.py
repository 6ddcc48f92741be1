"""Heads of boxes, A2-FPN and the device itself, on the pretended CUDA device."""

from collections.abc import Callable

import pytest
from device_checks import REFUSED, WAITS
from expectations import LAUNCHES, check_budget, check_predictions, check_training
from families import A2FPN_NECK, BOXED

DEVICE = 'device'
families = pytest.mark.parametrize('name', BOXED)


@pytest.fixture(scope='module')
def found(findings_of: Callable) -> dict:
    return findings_of(DEVICE, *BOXED)


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
    check_budget(found[name]['predict']['many'], *BOXED[name].predict)
    check_budget(found[name]['train'], *BOXED[name].train)


def test_a2fpns_neck_launches_no_more_than_before(found: dict) -> None:
    for part in ('few', 'many'):
        assert found['a2fpn']['predict'][part]['neck'] == pytest.approx(A2FPN_NECK, rel=LAUNCHES)


@pytest.mark.parametrize('what', WAITS)
def test_the_device_is_waited_for(found: dict, what: str) -> None:
    assert found[DEVICE]['waits'][what] == WAITS[what][0]


@pytest.mark.parametrize('what', REFUSED)
def test_what_cuda_refuses_is_refused(found: dict, what: str) -> None:
    assert found[DEVICE]['refused'][what]


def test_the_device_computes_as_cuda_does(found: dict) -> None:
    device = found[DEVICE]
    assert device['launches'] == 3, 'of views there is none'
    assert all(device['gradients'].values()), device['gradients']
    assert device['autocast'] == ['torch.bfloat16', 'torch.float32', 'torch.float16']
    assert device['nondeterministic']
    assert device['module'] == ['PretendedTensor', True, True]
