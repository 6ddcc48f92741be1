"""Pickles that nobody's `dump` would write: programs of opcodes with arrays and tensors that are almost right."""

import io
import pickle as p
import struct
import zipfile
from random import Random

NUMPY = [
    *(f'numpy.{package}.multiarray {name}' for package in ('core', '_core') for name in ('_reconstruct', 'scalar')),
    *('numpy ndarray', 'numpy dtype', 'numpy._core.numeric _frombuffer', 'numpy void', 'numpy.dtypes ObjectDType'),
]
PLAIN = ['collections OrderedDict', 'collections Counter', '_codecs encode', '__builtin__ getattr', 'builtins set']
CODE = ['os system', 'posix system', 'builtins eval', 'builtins bytearray', 'functools partial', 'numpy.lib.npyio load']
TORCH = [
    *(f'torch._utils {name}' for name in ('_rebuild_tensor_v2', '_rebuild_tensor_v3', '_rebuild_parameter')),
    *('torch._utils _rebuild_sparse_tensor', 'torch._utils _rebuild_qtensor', 'torch._tensor _rebuild_from_type_v2'),
    *('torch FloatStorage', 'torch BoolStorage', 'torch.storage UntypedStorage', 'torch float64', 'torch Tensor'),
    *(
        'torch Size',
        'torch FloatTensor',
        'torch._utils _rebuild_wrapper_subclass',
        'torch._utils _rebuild_nested_tensor',
    ),
    *('torch._utils _rebuild_meta_tensor_no_storage', 'mmengine.logging.history_buffer HistoryBuffer'),
]
LENGTHS = (0, 1, 2, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, -1)
DTYPES = (
    'f4',
    'f8',
    'f2',
    'b1',
    'i8',
    'u2',
    'f16',
    'O8',
    'V8',
    'M8',
    'S4',
    'U4',
    'c8',
    '<f4',
    'f4,f4',
    '(2,)f4',
    '',
    'é',
)


def number(value: int) -> bytes:
    size = max(1, (value.bit_length() + 8) // 8)
    return p.LONG1 + bytes([size]) + value.to_bytes(size, 'little', signed=True)


def text(value: str) -> bytes:
    data = value.encode('utf-8', 'surrogatepass')
    return p.BINUNICODE + struct.pack('<I', len(data)) + data


def raw(value: bytes) -> bytes:
    return p.BINBYTES + struct.pack('<I', len(value)) + value


def named(name: str) -> bytes:
    return p.GLOBAL + name.replace(' ', '\n').encode() + b'\n'


def row(*parts: bytes) -> bytes:
    return p.MARK + b''.join(parts) + p.TUPLE


class Forger:
    """Makes one pickle after another from a seed.

    Args:
        seed: of all that is random.
        torch: True for what is inside of a PyTorch file: protocol 2, and tensors beside arrays.
    """

    def __init__(self, seed: int, *, torch: bool) -> None:
        self.random, self.torch = Random(seed), torch
        self.names = NUMPY + PLAIN + CODE + (TORCH if torch else [])

    def __call__(self) -> bytes:
        """A pickle of ``{'model': {'x': …}, 'state_dict': …}`` with something forged in it, at times damaged."""
        thing = self.thing(3)
        body = p.EMPTY_DICT + text('x') + thing + p.SETITEM
        program = (
            p.PROTO + b'\2' + p.EMPTY_DICT + text('model') + body + p.SETITEM + text('state_dict') + body + p.SETITEM
        )
        program = bytearray(program + p.STOP)
        for _ in range(self.random.choice([0, 0, 0, 0, 0, 1, 3])):
            program[self.random.randrange(2, len(program))] = self.random.randrange(256)
        return bytes(program)

    def file(self) -> bytes:
        """A PyTorch file around such a pickle."""
        file = io.BytesIO()
        with zipfile.ZipFile(
            file, 'w', self.random.choice([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED])
        ) as archive:
            archive.writestr('a/data.pkl', self())
            archive.writestr('a/version', '3\n')
            archive.writestr('a/byteorder', self.random.choice(['little'] * 9 + ['big']))
            archive.writestr('a/data/0', bytes(self.random.choice([16, 16, 16, 3, 0])))
        return file.getvalue()

    def thing(self, depth: int) -> bytes:
        kinds = [self.array] * 5 + [self.scalar, self.atom, self.call, self.laughs, self.nested, self.soup]
        if self.torch:
            kinds += [self.tensor] * 4 + [self.log] * 2
        return self.random.choice(kinds if depth else [self.atom])(depth)

    def often(self, right: bytes, depth: int = 0) -> bytes:
        """The right thing, or now and then another."""
        return right if self.random.random() < 0.93 else self.thing(depth)

    def atom(self, _: int = 0) -> bytes:
        length = self.random.choice(LENGTHS)
        return self.random.choice([
            p.NONE, p.NEWTRUE, p.EMPTY_TUPLE, p.EMPTY_LIST, p.EMPTY_DICT, number(length), number(1 << 2000),
            text('a'), raw(b'abc'), p.BINFLOAT + struct.pack('>d', float(length)), p.INT + b'9' * 5000 + b'\n',
            named(self.random.choice(self.names)), p.BINGET + bytes([self.random.randrange(4)]),
            p.BINUNICODE + struct.pack('<I', length % 2**32) + b'a',
            p.BINBYTES8 + struct.pack('<Q', length % 2**64) + b'a',
            p.BYTEARRAY8 + struct.pack('<Q', length % 2**64) + b'a', p.LONG4 + struct.pack('<i', length % 2**31) + b'a',
            p.NONE + p.LONG_BINPUT + struct.pack('<I', length % 2**32), p.FRAME + struct.pack('<Q', length % 2**64),
        ])  # fmt: skip

    def dtype(self) -> bytes:
        code = 'f4' if self.random.random() < 0.8 else self.random.choice(DTYPES)
        made = named('numpy dtype') + row(text(code), p.NEWFALSE, p.NEWTRUE) + p.REDUCE
        fields = p.EMPTY_DICT + text('a') + row(made, number(self.random.choice(LENGTHS))) + p.SETITEM
        state = [
            number(3),
            text(self.random.choice('<<<>|=x')),
            p.NONE,
            p.NONE,
            p.NONE,
            number(-1),
            number(-1),
            number(0),
        ]
        if self.random.random() < 0.2:
            place = self.random.randrange(len(state))
            state[place] = self.random.choice(
                [number(self.random.choice(LENGTHS)), row(text('a')), fields, self.atom()]
            )
        return made + row(*state) + p.BUILD

    def shape(self) -> bytes:
        lengths = [self.random.choice((0, 1, 2, 2, *LENGTHS)) for _ in range(self.random.choice((0, 1, 1, 2, 3, 40)))]
        return self.often(row(*map(number, lengths)) if self.random.random() < 0.3 else row(number(2)))

    def array(self, depth: int = 0) -> bytes:
        data = self.often(raw(bytes(self.random.choice((8, 8, 8, 0, 1, 4, 80)))), depth)
        if self.random.random() < 0.1:
            parts = [data, self.often(self.dtype()), self.shape(), text('C')]
            return named('numpy._core.numeric _frombuffer') + row(*parts) + p.REDUCE
        kind = self.often(named('numpy ndarray'))
        empty = named(self.random.choice(NUMPY[:1] * 9 + NUMPY)) + row(kind, row(number(0)), raw(b'b')) + p.REDUCE
        return empty + row(number(1), self.shape(), self.often(self.dtype()), p.NEWFALSE, data) + p.BUILD

    def scalar(self, depth: int = 0) -> bytes:
        data = raw(bytes(self.random.choice((4, 4, 8, 0, 1, 80))))
        return named('numpy.core.multiarray scalar') + row(self.often(self.dtype()), self.often(data, depth)) + p.REDUCE

    def call(self, depth: int = 0) -> bytes:
        arguments = row(*(self.thing(depth - 1) for _ in range(self.random.randrange(5))))
        made = named(self.random.choice(self.names)) + arguments + self.random.choice([p.REDUCE, p.NEWOBJ])
        return made + (self.thing(depth - 1) + p.BUILD if self.random.random() < 0.5 else b'')

    def laughs(self, _: int = 0) -> bytes:
        """Tuples or lists that hold the same one twice, and so on; at times a key."""
        made = (
            text('ha')
            + (p.DUP + p.TUPLE2 if self.random.random() < 0.5 else p.BINPUT + b'\1' + p.BINGET + b'\1' + p.TUPLE2) * 60
        )
        return p.EMPTY_DICT + made + p.NONE + p.SETITEM if self.random.random() < 0.3 else made

    def nested(self, _: int = 0) -> bytes:
        depth = self.random.choice((10, 1000, 50_000))
        if self.random.random() < 0.5:
            return p.NONE + p.TUPLE1 * depth
        return p.EMPTY_LIST + p.BINPUT + b'\2' + p.BINGET + b'\2' + p.APPEND  # inside itself

    def soup(self, depth: int = 0) -> bytes:
        codes = [p.MARK, p.POP, p.DUP, p.TUPLE1, p.TUPLE2, p.TUPLE, p.LIST, p.DICT, p.APPEND, p.SETITEM, p.SETITEMS]
        codes += [
            p.APPENDS,
            p.REDUCE,
            p.BUILD,
            p.NEWOBJ,
            p.OBJ,
            p.POP_MARK,
            p.BINPERSID,
            p.MEMOIZE,
            p.ADDITEMS,
            p.FROZENSET,
        ]
        codes += [self.atom() for _ in range(12)]
        return b''.join(self.random.choice(codes) for _ in range(self.random.randrange(1, 20)))

    def storage(self) -> bytes:
        numel = number(self.random.choice((4, 4, 4, *LENGTHS)))
        kind = named(self.random.choice(['torch FloatStorage'] * 6 + TORCH))
        return (
            row(text('storage'), kind, text('0'), text(self.random.choice(['cpu'] * 9 + ['cuda:7', 'meta'])), numel)
            + p.BINPERSID
        )

    def tensor(self, depth: int = 0) -> bytes:
        name = self.random.choice(TORCH[:1] * 5 + TORCH[:5])
        hooks = named('collections OrderedDict') + p.EMPTY_TUPLE + p.REDUCE
        stride = self.often(row(number(1))) if self.random.random() < 0.5 else self.shape()
        parts = [self.often(self.storage()), number(self.random.choice((0, 0, 0, *LENGTHS))), self.shape(), stride]
        parts += [p.NEWFALSE, self.often(hooks, depth), *([named('torch float64')] if name.endswith('v3') else [])]
        return named(name) + row(*parts) + p.REDUCE

    def log(self, depth: int = 0) -> bytes:
        state = p.EMPTY_DICT
        for key in ('_log_history', '_count_history'):
            state += text(key) + self.often(self.array(depth), 1) + p.SETITEM
        state += text('max_length') + self.often(number(1000)) + p.SETITEM
        return named('mmengine.logging.history_buffer HistoryBuffer') + p.EMPTY_TUPLE + p.NEWOBJ + state + p.BUILD
