"""Failing computations: of the first step, by which a config is judged, and of later ones."""

import pytest
import torch

from mmagg.engine.first_step import FirstStepHook
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
