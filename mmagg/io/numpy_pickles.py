"""NumPy's arrays and numbers in pickles, rebuilt from their bytes alone.

NumPy's own unpickling believes a file: with a forged dtype it reads where nothing is, and crashes. Here a stand-in
takes the place of each thing of NumPy that a pickle names. A dtype is one of plain numbers, and an array has the bytes
that its shape needs, or the file is refused; `rebuilt` puts arrays in the place of their stand-ins.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

NUMBERS = ('b1', *(f'{kind}{size}' for kind in 'iu' for size in (1, 2, 4, 8)), 'f2', 'f4', 'f8')
MOST = 10_000_000  # entries of all containers; a long training's log has some 100,000


class StandIn(ABC):
    """Stands for a thing while its pickle is read; `made` gives the thing itself."""

    @abstractmethod
    def __setstate__(self, state: Any) -> None:
        """Take what the pickle says of the thing.

        Raises:
            ValueError: it cannot be.
        """

    @abstractmethod
    def made(self) -> Any:
        """The thing.

        Raises:
            ValueError: the pickle has not said all of it.
        """


class DType(StandIn):
    """Stands for `numpy.dtype`: of booleans, integers or floating-point numbers, in one byte order or the other."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if not isinstance(code, str) or code not in NUMBERS:
            raise ValueError(f'a dtype {code[:20] if isinstance(code, str) else ""!r}, which is none of numbers')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        _, order, *rest = state
        if order not in ('<', '>', '|', '=') or not all(x is None or (type(x) is int and x in (-1, 0)) for x in rest):
            raise ValueError('a dtype of numbers with fields, a size or flags')
        self.dtype = self.dtype.newbyteorder(order)

    def made(self) -> np.dtype:
        return self.dtype


class Array(StandIn):
    """Stands for `numpy.ndarray`."""

    array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        *_, shape, dtype, by_columns, data = state
        self.array = _array(data, dtype, shape, 'F' if by_columns else 'C')

    def made(self) -> np.ndarray:
        if self.array is None:
            raise ValueError('an array without content')
        return self.array


def _array(data: Any, dtype: Any, shape: Any, order: Literal['C', 'F']) -> np.ndarray:
    """A new array, in the machine's byte order, of bytes that are as many as its shape needs."""
    if isinstance(data, str):  # of Python 2
        data = data.encode('latin1')
    known = isinstance(dtype, DType) and isinstance(data, bytes | bytearray) and isinstance(shape, tuple)
    if not known or not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError('an array that is not of numbers')
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError(f'an array of another size than its shape, {str(shape)[:60]}, says')
    return np.ndarray(shape, dtype.dtype, data, order=order).astype(dtype.dtype.newbyteorder('='))


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    """An array that is not filled yet, as NumPy's function of this name makes it."""
    if kind is not Array:
        raise ValueError('an array of another class than ndarray')
    return Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    """An array at once, by pickle's protocol 5."""
    stand_in = Array()
    stand_in.__setstate__((shape, dtype, order == 'F', data))
    return stand_in


def _scalar(dtype: Any, data: Any) -> np.generic:
    return _array(data, dtype, (), 'C').flat[0]


# What stands for the names in pickles, of NumPy 1 and of NumPy 2.
_FUNCTIONS: dict[str, Callable] = {
    'multiarray._reconstruct': _reconstruct,
    'multiarray.scalar': _scalar,
    'numeric._frombuffer': _frombuffer,
}
NAMES: dict[str, Callable] = {
    'numpy.ndarray': Array,
    'numpy.dtype': DType,
    **{f'numpy.{package}.{name}': stand_in for package in ('core', '_core') for name, stand_in in _FUNCTIONS.items()},
}


def rebuilt(content: Any, check: Callable[[Any, str], None] | None = None) -> Any:
    """The content of a pickle, with things in the place of their stand-ins; lists and dicts are changed in place.

    Args:
        content: dicts, lists, tuples and what is in them. A part that is used in several places stays one.
        check: is called with everything else that is found, and with its place: keys, with dots.

    Raises:
        ValueError: parts are inside themselves, or nested too deeply; or small parts are used so often that
            to look at all of them would take for ever.
    """
    try:
        return _Rebuilding(check).visited(content, '')[0]
    except RecursionError as error:
        raise ValueError('its parts are nested too deeply') from error


class _Rebuilding:
    """What `rebuilt` knows: by its identity each part, with what it became and the number of its entries."""

    def __init__(self, check: Callable[[Any, str], None] | None) -> None:
        self.check = check
        self.parts: dict[int, tuple[Any, Any, float]] = {}

    def visited(self, part: Any, place: str) -> tuple[Any, float]:
        if part is None or isinstance(part, bool | int | float | str | bytes):
            return part, 1
        known = self.parts.get(id(part))
        if known is None:
            self.parts[id(part)] = part, part, math.inf  # while its own parts are visited
            known = self.parts[id(part)] = part, *self._made(part, place)
        _, made, entries = known
        if entries > MOST:
            raise ValueError(f'{place or "it"} is inside itself, or has too many parts')
        return made, entries

    def _made(self, part: Any, place: str) -> tuple[Any, float]:
        if isinstance(part, StandIn):
            return part.made(), 1
        if not isinstance(part, dict | list | tuple):
            if self.check is not None:
                self.check(part, place)
            return part, 1
        items = part.items() if isinstance(part, dict) else enumerate(part)
        made: dict[Any, Any] = {}
        total = 1.0
        for key, value in items:
            made[key], entries = self.visited(value, f'{place}.{key}'.lstrip('.'))
            total += entries
        if isinstance(part, tuple):
            changed = any(new is not old for new, old in zip(made.values(), part, strict=True))
            return (tuple(made.values()) if changed else part), total
        for key, value in made.items():
            part[key] = value
        return part, total
