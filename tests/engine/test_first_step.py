"""Failing computations: of the first step, by which a config is judged, and of later ones."""

import cv2
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmagg.engine.first_step import FirstStepHook, running
from mmagg.io.errors import InputError, ModelError


@pytest.mark.parametrize('error', [RuntimeError('shapes'), NotImplementedError('shapes'), ZeroDivisionError('shapes')])
def test_a_failing_first_step_is_the_configs(error: Exception) -> None:
    hook = FirstStepHook()
    with pytest.raises(InputError, match=r'first images: .*shapes; do the parts of the config fit'), hook.watched():
        raise error
    hook.after_train_iter(runner=None, batch_idx=0)
    with pytest.raises(type(error)), hook.watched():
        raise error


@pytest.mark.parametrize('error', [ValueError, IndexError, KeyError, AttributeError, AssertionError, cv2.error])
def test_other_errors_are_the_configs_once_images_are_loaded(error: type[Exception]) -> None:
    hook = FirstStepHook()
    with pytest.raises(error), hook.watched():
        raise error('no such sampler')
    hook.before_train_epoch(runner=None)
    with pytest.raises(ModelError) as caught, hook.watched():
        raise error('one pixel')
    assert str(caught.value).startswith('the model does not run on the first images: ')
    assert '\n' not in str(caught.value)
    assert isinstance(caught.value.__cause__, error)
    with pytest.raises(NameError), hook.watched():
        raise NameError


class Broken(Dataset):
    """Whose only image cannot be had."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        assert {}['boxes']


@pytest.mark.parametrize('workers', [0, 1])
def test_a_pipeline_that_fails(workers: int) -> None:
    hook = FirstStepHook()
    hook.before_train_epoch(runner=None)
    with pytest.raises(ModelError) as caught, hook.watched():
        next(iter(DataLoader(Broken(), num_workers=workers)))
    assert 'the data pipeline fails at the first images: KeyError: ' in str(caught.value)
    assert str(caught.value).count('boxes') == 1
    assert 'do the transforms of the config fit the data?' in str(caught.value)


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
