"""Errors as lines."""

import pytest
from torch.utils.data import DataLoader

from mmagg.io.errors import InputError, building, check_fraction, one_line, set_note


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        try:
            raise KeyError('cause')
        except KeyError as cause:
            raise self.error from cause


@pytest.mark.parametrize(
    'error, line',
    [
        (InputError('a.png: cannot be read'), 'a.png: cannot be read'),
        (OSError('a.png: gone'), 'a.png: gone'),
        (ValueError('a: b\n  c'), 'ValueError: a: b c'),
        (AssertionError(), 'AssertionError'),
    ],
)
def test_an_error_of_a_data_loader_has_its_own_words_alone(error: Exception, line: str) -> None:
    with pytest.raises(type(error)) as raised:
        next(iter(DataLoader(Broken(error), num_workers=1)))
    assert 'Traceback' in str(raised.value)
    assert one_line(raised.value) == line


@pytest.mark.parametrize('value', [30, -0.1, float('nan')])
def test_a_threshold_is_a_fraction(value: float) -> None:
    with pytest.raises(InputError, match=r'--score-thr .*not between 0 and 1'):
        check_fraction(value, '--score-thr')
    check_fraction(1, '--score-thr')


class Part:
    def __init__(self, error: Exception) -> None:
        raise error


@pytest.mark.parametrize(
    'error, line',
    [
        (RuntimeError('-8 channels'), 'the model cannot be built: Part: RuntimeError: -8 channels'),
        (TypeError('Part: no a'), 'the model cannot be built: TypeError: Part: no a$'),
        (
            TypeError("got an unexpected keyword argument 'a'"),
            "argument 'a'; if it comes from a base, _delete_=True in",
        ),
        (AssertionError(), 'the model cannot be built: Part: AssertionError: raise error'),
        (InputError('a.npz: no such file'), '^a.npz: no such file$'),
    ],
)
def test_what_cannot_be_built_is_named(error: Exception, line: str) -> None:
    with pytest.raises(InputError, match=line), building():
        Part(error)


@pytest.mark.parametrize('error', [ImportError('no mmpretrain'), FileNotFoundError('a.pth')])
def test_missing_files_and_packages_are_said_as_elsewhere(error: Exception) -> None:
    with pytest.raises(type(error)), building():
        Part(error)


def test_the_outermost_note_is_the_one_that_is_said() -> None:
    error = KeyboardInterrupt()
    set_note(error, 'nothing was saved yet')
    set_note(error, 'the same command goes on')
    assert error.__notes__ == ['the same command goes on']
    assert not hasattr(KeyboardInterrupt(), '__notes__')
