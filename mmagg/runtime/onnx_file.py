"""What an ONNX file says of itself, read without ONNX's package and before a runtime opens it.

ONNX Runtime and OpenVINO give metadata each in its own way, once they have loaded the file, and with it any other file
that it names as the place of its weights. Here the fields of its protocol buffers are walked: those of the model
alone, whose weights are skipped.
"""

from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

from mmagg.io.errors import InputError
from mmagg.io.files import require_file

# Of onnx.proto: the fields of a message that hold messages of the kinds that lead to tensors.
CHILDREN = {
    'model': {7: 'graph', 20: 'training', 25: 'function'},
    'training': {1: 'graph', 2: 'graph'},
    'function': {7: 'node', 11: 'attribute'},
    'graph': {1: 'node', 5: 'tensor', 15: 'sparse'},
    'node': {5: 'attribute'},
    'attribute': {5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse'},
    'sparse': {1: 'tensor', 2: 'tensor'},
    'tensor': {},
}
VERSION, GRAPH, METADATA = 1, 7, 14  # fields of the model
KEY, VALUE = 1, 2  # of an entry of the metadata
EXTERNAL = (13, 14)  # fields of a tensor that is in another file
VARINT, BITS_64, BYTES, BITS_32 = 0, 1, 2, 5

Span = tuple[int, int]


def onnx_metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file by their keys.

    Raises:
        InputError: it is no ONNX file, is corrupt, or keeps tensors in other files.
    """
    require_file(path, 'model')
    try:
        with path.open('rb') as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return _metadata(content, path)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(
            f'{path}: no ONNX file, or a corrupt one: copy it again, or write it with mmagg export'
        ) from error


def _metadata(content: mmap, path: Path) -> dict[str, str]:
    found, metadata = set(), {}
    pending: list[tuple[str, Span]] = [('model', (0, len(content)))]
    while pending:
        kind, span = pending.pop()
        for number, value in _fields(content, *span):
            if kind == 'model':
                found.add(number)
                if number == METADATA and isinstance(value, tuple):
                    entry = {key: content[slice(*text)].decode() for key, text in _spans(content, value)}
                    metadata[entry.get(KEY, '')] = entry.get(VALUE, '')
            if kind == 'tensor' and number in EXTERNAL and value != 0:
                raise InputError(f'{path}: its weights are in other files, which are not read: export it as one file')
            if number in CHILDREN[kind]:
                if not isinstance(value, tuple):
                    raise ValueError(f'{kind}: field {number} is a number')
                pending.append((CHILDREN[kind][number], value))
    if not {VERSION, GRAPH} <= found:
        raise ValueError('no graph')
    return metadata


def _spans(content: mmap, span: Span) -> Iterator[tuple[int, Span]]:
    """The fields of a message that are bytes."""
    return ((number, value) for number, value in _fields(content, *span) if isinstance(value, tuple))


def _fields(content: mmap, start: int, stop: int) -> Iterator[tuple[int, int | Span]]:
    """The fields of a message: their numbers, and a number or the place of bytes.

    Raises:
        ValueError: these are no protocol buffers.
    """
    while start < stop:
        tag, start = _varint(content, start, stop)
        kind = tag & 7
        if kind == VARINT:
            value, start = _varint(content, start, stop)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            length, start = _varint(content, start, stop)
        elif kind in (BITS_64, BITS_32):
            length = 8 if kind == BITS_64 else 4
        else:
            raise ValueError(f'a field of kind {kind}')
        if start + length > stop:
            raise ValueError('a field ends behind its message')
        yield tag >> 3, (start, start + length)
        start += length


def _varint(content: mmap, start: int, stop: int) -> tuple[int, int]:
    """A number, seven bits a byte, the lowest first; and the place behind it."""
    value = 0
    for shift, place in enumerate(range(start, min(stop, start + 10))):
        value |= (content[place] & 127) << (7 * shift)
        if content[place] < 128:
            return value, place + 1
    raise ValueError('a number does not end')
