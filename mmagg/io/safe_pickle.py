"""Pickles of NumPy arrays in plain containers (Detectron2's ``.pkl`` files), read without running code from them.

Unpickling calls any function that a file names, and sets attributes of anything. Here the file can name those functions
alone that stand for containers and arrays, and neither crash the reader nor keep it busy for ever.
"""

import io
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from struct import unpack
from typing import Any, BinaryIO, ClassVar

from mmagg.io.errors import TRUST_FLAG, InputError, one_line
from mmagg.io.files import require_file
from mmagg.io.numpy_pickles import NAMES, StandIn, rebuilt

SIMPLE = (str, bytes, int, float, type(None))  # what may be a key: the hash of nested tuples can take for ever


def _latin1(text: str, encoding: str) -> bytes:
    """A `codecs.encode` for Latin-1 alone, by which Python 3 writes bytes for Python 2."""
    if encoding != 'latin1':
        raise ValueError('bytes in another encoding than Latin-1')
    return text.encode(encoding)


def _no_bytes() -> bytes:
    """What Python 3 writes for no bytes, as an empty array has, for Python 2."""
    return b''


def _ordered(pairs: Iterable = ()) -> OrderedDict:
    """An OrderedDict, of pairs as Python 2 writes them."""
    made = OrderedDict()
    for key, value in pairs:
        made[_key(key)] = value
    return made


def _counter(counts: dict) -> Counter:
    if type(counts) is not dict:
        raise ValueError('a Counter that is not made of a dict')
    return Counter(counts)


def _key(key: Any) -> Any:
    if not isinstance(key, SIMPLE):
        raise ValueError('a key that is neither text nor a number')
    return key


CONTAINERS: dict[str, Callable] = {
    'collections.OrderedDict': _ordered,
    'collections.Counter': _counter,
    '_codecs.encode': _latin1,
    'builtins.bytes': _no_bytes,
}


READ: dict[int, Callable[[Any], None]] = dict(pickle._Unpickler.dispatch)  # what reads each code of a pickle


class DataUnpickler(pickle._Unpickler):  # the one in C can be neither restricted nor kept from crashing
    """Reads text, numbers, lists, tuples, dicts with simple keys, and what `names` makes of the functions in a file.

    Args:
        file: that it is read from.
        names: by their full names, what stands for the functions and classes that the file may name.
        what: the word for all these in the message about another name.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]

    def __init__(self, file: BinaryIO, names: Mapping[str, Callable], *, what: str) -> None:
        super().__init__(file, encoding='latin1')
        self.names, self.what = names, what

    def find_class(self, module: str, name: str) -> Any:
        """What stands for ``module.name``, which a file names.

        Raises:
            InputError: nothing does.
        """
        known = f'{module.replace("__builtin__", "builtins")}.{name}'
        if known not in self.names:
            raise InputError(
                f'refused, because it holds more than {self.what} ({known[:100]}) and reading it could run code; '
                f'if you trust its source, pass {TRUST_FLAG}'
            )
        return self.names[known]

    def load_setitem(self) -> None:
        """A pair for a dict, whose key is simple."""
        _key(self.stack[-2])
        READ[pickle.SETITEM[0]](self)

    def load_setitems(self) -> None:
        """Pairs for a dict, whose keys are simple."""
        for key in self.stack[::2]:
            _key(key)
        READ[pickle.SETITEMS[0]](self)

    def load_dict(self) -> None:
        """A dict, whose keys are simple."""
        for key in self.stack[::2]:
            _key(key)
        READ[pickle.DICT[0]](self)

    def load_build(self) -> None:
        """The state of an object, which stand-ins alone take."""
        state, built = self.stack.pop(), self.stack[-1]
        if isinstance(built, StandIn):
            built.__setstate__(state)
        elif not isinstance(built, OrderedDict):  # whose state, as `_metadata` of a state_dict, nobody needs
            raise ValueError(f'a state of {type(built).__name__}')

    def load_bytearray8(self) -> None:
        """By what is there, not by the length that the file claims."""
        self.append(bytearray(self.read(unpack('<Q', self.read(8))[0])))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code: function
        for code, function in READ.items()
        if code not in (pickle.ADDITEMS[0], pickle.FROZENSET[0], pickle.INST[0], pickle.OBJ[0], pickle.NEWOBJ_EX[0])
    } | {
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


def load_pickle(path: Path, *, trust: bool = False) -> Any:
    """Read a pickle, also one that Python 2 wrote.

    Args:
        path: the file.
        trust: call any function that the file names.

    Raises:
        InputError: the file is missing or damaged, or holds more than arrays in plain containers.
    """
    require_file(path, 'checkpoint')
    try:
        if trust:
            return pickle.loads(path.read_bytes(), encoding='latin1')
        return read_arrays(path.read_bytes())
    except InputError as error:
        raise InputError(f'checkpoint {path}: {error}') from None
    except Exception as error:  # a damaged file can mean anything
        raise InputError(f'checkpoint {path}: cannot be read ({one_line(error)[:160]})') from error


def read_arrays(data: bytes) -> Any:
    """What a pickle holds: arrays, numbers and text in plain containers.

    Raises:
        InputError: it holds more.
        Exception: whatever a damaged one means.
    """
    return rebuilt(DataUnpickler(io.BytesIO(data), NAMES | CONTAINERS, what='arrays').load())
