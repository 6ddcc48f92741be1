"""Pickles of NumPy arrays in plain containers (Detectron2's ``.pkl`` files), read without running code from them.

Unpickling calls any function that a file names; here those alone that rebuild arrays.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from mmagg.io.errors import TRUST_FLAG, InputError, one_line

# Errors of the unpickler and of NumPy at a damaged file.
DAMAGED = (pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError, MemoryError)


def _latin1(text: str, encoding: str) -> bytes:
    """A `codecs.encode` for Latin-1 alone, by which Python 3 writes an array's bytes for Python 2."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'bytes in {encoding!r}')
    return text.encode(encoding)


def _allowed() -> dict[tuple[str, str], Any]:
    """The functions that a file may name: those that NumPy 1 and 2 name for arrays and numbers, and containers."""
    rebuilders = [
        ('multiarray', np.empty(0).__reduce__()[0]),
        ('multiarray', np.float64(0).__reduce__()[0]),
        ('numeric', np.empty(0).__reduce_ex__(5)[0]),
    ]
    return {
        ('collections', 'OrderedDict'): OrderedDict,
        ('_codecs', 'encode'): _latin1,
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        **{
            (f'numpy.{package}.{module}', function.__name__): function
            for package in ('core', '_core')
            for module, function in rebuilders
        },
    }


class ArrayUnpickler(pickle.Unpickler):
    """Rebuilds arrays, numbers, text, lists, tuples and dicts, and refuses the rest."""

    allowed = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        """The function ``module.name`` that a file names.

        Raises:
            InputError: it is none of those that rebuild arrays.
        """
        if (module, name) not in self.allowed:
            raise InputError(
                f'refused, because it holds more than arrays ({module}.{name}) and reading it could run code; '
                f'if you trust its source, pass {TRUST_FLAG}'
            )
        return self.allowed[module, name]


def load_pickle(path: Path, *, trust: bool = False) -> Any:
    """Read a pickle, also one that Python 2 wrote.

    Args:
        path: the file.
        trust: call any function that the file names.

    Raises:
        InputError: the file is missing or damaged, or holds more than arrays in plain containers.
    """
    unpickler = pickle.Unpickler if trust else ArrayUnpickler
    try:
        with path.open('rb') as file:
            return unpickler(file, encoding='latin1').load()
    except FileNotFoundError as error:
        raise InputError(f'checkpoint {path}: no such file') from error
    except InputError as error:
        raise InputError(f'checkpoint {path}: {error}') from None
    except DAMAGED as error:
        raise InputError(f'checkpoint {path}: cannot be read ({one_line(error)[:160]})') from error
