"""The compiled form of `dynamic_conv_of_gathered` for the CPU: see `dynamic_conv_native.cpp`.

It is compiled at its first use, in some seconds and for the processor at hand, and kept in the user's cache. Without a
C++ compiler the form in torch runs.

Shape shorthand: N instances, P dynamic parameters of each, K gathered and S shared inputs, U maps to gather from,
(h, w) their size, (H, W) size of all others.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

SOURCE = Path(__file__).with_suffix('.cpp')
FLAGS = ('-O3', '-march=native', '-std=c++17', '-shared', '-fPIC')
TILE = 64  # padding at the end of a row, at least the tile of the source
LINE = 16  # floats of a cache line; rows are aligned to it
INSTANCES = 8  # per task of a thread


def usable(*tensors: Tensor) -> bool:
    """True for float32 tensors on the CPU, without gradients, if a compiler is there."""
    return (
        all(x.dtype == torch.float32 and x.device.type == 'cpu' for x in tensors)
        and not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))
        and not torch.compiler.is_compiling()
        and library() is not None
    )


@cache
def library() -> ctypes.CDLL | None:
    """The compiled source; None without a compiler, or with a warning if it fails."""
    compiler = os.environ.get('CXX') or shutil.which('c++') or shutil.which('g++') or shutil.which('clang++')
    if compiler is None:
        return None
    try:
        return ctypes.CDLL(str(compiled(compiler)))
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, 'stderr', None) or str(error)
        warnings.warn(f'{SOURCE.name} does not compile, the slower form in torch runs: {reason[:500]}', stacklevel=2)
        return None


def compiled(compiler: str) -> Path:
    """The path of the library in the cache, compiled if it is not there.

    Raises:
        OSError: neither the cache nor the temporary folder is writable.
        subprocess.CalledProcessError: the compiler fails.
    """
    key = hashlib.sha256('\0'.join([SOURCE.read_text(), compiler, *FLAGS, processor()]).encode()).hexdigest()[:16]
    path = cache_folder() / f'dynamic_conv_{key}.so'
    if not path.is_file():
        # Several processes may compile at once: each into a file of its own, the last one stays.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            new = Path(folder) / path.name
            command = [compiler, *FLAGS, str(SOURCE), '-o', str(new)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            new.replace(path)
    return path


def cache_folder() -> Path:
    """The user's cache folder, or a temporary one if it is not writable."""
    folder = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmagg'
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix='mmagg-'))


def processor() -> str:
    """The processor's features, part of the cache's key: a home folder may be shared by different machines."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line for line in lines if line.startswith(('flags', 'Features')))
    except (OSError, StopIteration):
        return f'{platform.machine()} {platform.processor()}'


def dynamic_conv_of_gathered(
    maps: Tensor, index: Tensor, shared: Tensor, params: Tensor, *, channels: int, num_layers: int, kernel_size: int
) -> Tensor:
    """`dynamic_conv.dynamic_conv_of_gathered` for `usable` tensors.

    Args:
        maps: (U, h, w).
        index: (N, K) long.
        shared: (S, H, W).
        params: (N, P).
        channels: see `DynamicConvSpec`.
        num_layers: see there.
        kernel_size: see there.

    Returns:
        (N, H, W).

    Raises:
        IndexError: an index outside [0, U).
    """
    if index.numel() and not 0 <= index.min() <= index.max() < len(maps):
        raise IndexError(f'indices from {index.min()} to {index.max()} into {len(maps)} maps')
    (n, k), (s, height, width), small = index.shape, shared.shape, maps.shape[1:]
    reach = kernel_size // 2
    maps, index, params = maps.contiguous(), index.contiguous(), params.contiguous()
    behind = reach + TILE
    padded = F.pad(shared, (reach, behind + -(width + reach + behind) % LINE))
    result = maps.new_empty(n, height, width)
    sampling = [*linear_sampling(small[0], height), *linear_sampling(small[1], width)]

    def run(first: int) -> None:
        pointers = [ctypes.c_void_p(x.data_ptr()) for x in (maps, index, padded, params, result)]
        bounds = [ctypes.c_int64(first), ctypes.c_int64(min(first + INSTANCES, n))]
        net = [k, s, channels, num_layers, kernel_size, params.shape[1]]
        sizes = [*small, height, width, padded.shape[2]]
        samples = [ctypes.c_void_p(x.data_ptr()) for x in sampling]
        library().mmagg_dynamic_conv(*pointers, *bounds, *map(ctypes.c_int, net + sizes), *samples)

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # ctypes lets other threads run
        list(threads.map(run, range(0, n, INSTANCES)))
    return result


def linear_sampling(small: int, large: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bilinear sampling (align_corners=False) of a line of `small` pixels at `large` ones.

    Returns:
        (large,) int32 lower neighbours, int32 higher ones, and the float32 weights of the higher ones.
    """
    place = ((torch.arange(large) + 0.5) * (small / large) - 0.5).clamp(min=0)
    low = place.int()
    return low, (low + 1).clamp(max=small - 1), place - low
