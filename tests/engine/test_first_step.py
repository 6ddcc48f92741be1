"""Failing computations: of the first step, by which a config is judged, and of later ones."""

import pytest
import torch

from mmagg.engine.first_step import FirstStepHook, ModelError, running
from mmagg.io.errors import InputError


@pytest.mark.parametrize('error', [RuntimeError('shapes'), NotImplementedError('shapes'), ZeroDivisionError('shapes')])
def test_a_failing_first_step_is_the_configs(error: Exception) -> None:
    hook = FirstStepHook()
    with pytest.raises(InputError, match=r'first images: .*shapes; do the parts of the config fit'), hook.watched():
        raise error
    hook.after_train_iter(runner=None, batch_idx=0)
    with pytest.raises(type(error)), hook.watched():
        raise error


@pytest.mark.parametrize('error', [FloatingPointError, torch.OutOfMemoryError, KeyboardInterrupt])
def test_what_no_config_is_to_blame_for(error: type) -> None:
    with pytest.raises(error), FirstStepHook().watched():
        raise error


def test_a_model_without_a_runner() -> None:
    model, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    with pytest.raises(ModelError, match=r'first images: .*do the parts of the config fit'), running(model):
        model(torch.zeros(1, 4))
    with running(model):
        model(torch.zeros(1, 2))
    with pytest.raises(RuntimeError), running(model):
        model(torch.zeros(1, 4))
    with pytest.raises(ModelError), running(other):
        other(torch.zeros(1, 4))


def test_an_image_too_large_is_not_the_configs() -> None:
    with pytest.raises(ModelError) as caught, FirstStepHook().watched():
        torch.zeros(1).expand(2**50).clone()
    assert 'allocate memory' in str(caught.value)
    assert 'parts of the config' not in str(caught.value)
