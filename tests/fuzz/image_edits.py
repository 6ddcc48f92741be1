"""Edits of images: ``['image', file, kind]`` puts another kind in its place; and of names, ``['name', file, name]``."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def png(width: int, height: int, *, depth: int = 8, colours: int = 0, rows: bytes = b'') -> bytes:
    """A PNG file that says what it is, with whatever content."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    header = struct.pack('>IIBBBBB', width, height, depth, colours, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + part(b'IHDR', header) + part(b'IDAT', zlib.compress(rows)) + part(b'IEND', b'')


@cache
def _kinds() -> dict[str, Callable[[], bytes]]:
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)

    def saved(image: Any, kind: str = 'PNG', **options: Any) -> bytes:
        content = io.BytesIO()
        image.save(content, kind, **options)
        return content.getvalue()

    colour = Image.fromarray(pixels)
    grey = Image.fromarray(pixels[..., 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    strange = Image.Exif()
    strange[0x0112] = 99
    frames = [Image.fromarray(pixels[..., i]) for i in range(3)]
    return {
        'empty': lambda: b'',
        'text': lambda: b'no image\n',
        'grey': lambda: saved(grey),
        '16 bits': lambda: saved(Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)),
        'alpha': lambda: saved(colour.convert('RGBA')),
        'grey and alpha': lambda: saved(colour.convert('LA')),
        'palette': lambda: saved(colour.convert('P')),
        'one bit': lambda: saved(colour.convert('1')),
        'floats': lambda: saved(Image.fromarray(pixels[..., 0].astype(np.float32)), 'TIFF'),
        '32 bits': lambda: saved(Image.fromarray(pixels[..., 0].astype(np.int32)), 'TIFF'),
        'CMYK': lambda: saved(colour.convert('CMYK'), 'JPEG'),
        'YCbCr TIFF': lambda: saved(colour.convert('YCbCr'), 'TIFF'),
        'Lab': lambda: saved(colour.convert('LAB'), 'TIFF'),
        'pages': lambda: saved(frames[0], 'TIFF', save_all=True, append_images=frames[1:]),
        'animated GIF': lambda: saved(frames[0], 'GIF', save_all=True, append_images=frames[1:]),
        'animated PNG': lambda: saved(frames[0], 'PNG', save_all=True, append_images=frames[1:]),
        'WebP': lambda: saved(colour, 'WEBP'),
        'BMP': lambda: saved(colour, 'BMP'),
        'turned': lambda: saved(colour.crop((0, 0, 48, 24)), 'JPEG', exif=exif),
        'turned strangely': lambda: saved(colour, 'JPEG', exif=strange),
        'cut off': lambda: saved(colour)[:2000],
        'cut off JPEG': lambda: saved(colour, 'JPEG')[:500],
        'one pixel': lambda: saved(colour.crop((0, 0, 1, 1))),
        'a row': lambda: saved(colour.resize((5000, 1))),
        'a column': lambda: saved(colour.resize((1, 5000))),
        'thin': lambda: saved(colour.resize((2000, 2))),
        'large': lambda: saved(colour.resize((600, 400))),
        '1.6 gigapixels said': lambda: png(40_000, 40_000),
        '2^31 said': lambda: png(2**31 - 1, 2**31 - 1),
        'nothing said': lambda: png(0, 0),
        'wrong depth': lambda: png(48, 48, depth=7),
        'bomb': lambda: png(6000, 6000, rows=bytes(6001 * 6000)),
        'no rows': lambda: png(48, 48),
        'SVG': lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="48" height="48"/>',
        'PPM of negative size': lambda: b'P6 -48 -48 255\n' + bytes(100),
        'PPM of huge size': lambda: b'P6 99999 99999 255\n' + bytes(100),
        'PFM': lambda: b'Pf\n4 4\n-1.0\n' + bytes(64),
    }


def draw(chance: random.Random, file: str) -> list[Any]:
    """Another kind of image."""
    return ['image', file, chance.choice([*_kinds()])]


def apply(folder: Path, edit: list[Any]) -> None:
    """Put another image in the place of one."""
    (folder / edit[1]).write_bytes(_kinds()[edit[2]]())
