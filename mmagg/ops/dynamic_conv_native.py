"""The compiled form of `dynamic_conv_of_gathered` for the CPU: see `dynamic_conv_native.cpp`.

It is compiled at its first use, in some seconds, and kept (see `compiled_library`). Without a C++ compiler the form in
torch runs.

Shape shorthand: N instances, P dynamic parameters of each, K gathered and S shared inputs, U maps to gather from,
(h, w) their size, (H, W) size of all others.
"""

import ctypes
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from mmagg.ops.compiled_library import NoLibraryError, compiled_library
from mmagg.ops.dynamic_conv_spec import DynamicConvSpec

SOURCE = Path(__file__).with_suffix('.cpp')
FLAGS = ('-O3', '-march=native', '-std=c++17', '-shared', '-fPIC')
TILE = 64  # padding at the end of a row, at least the tile of the source
LINE = 16  # floats of a cache line; rows are aligned to it
INSTANCES = 8  # per task of a thread
LARGEST = 2**30  # of all numbers that become an int of the source


def usable(*tensors: Tensor) -> bool:
    """True for float32 tensors on the CPU, without gradients, if a compiler is there.

    Not where a mode looks at PyTorch's operators, as `FlopCounterMode`, which would see none.
    """
    return (
        all(x.dtype == torch.float32 and x.device.type == 'cpu' for x in tensors)
        and not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))
        and not torch.compiler.is_compiling()
        and not is_in_torch_dispatch_mode()
        and library() is not None
    )


def library() -> ctypes.CDLL | None:
    """The compiled source; None without a compiler or, with a line on stderr, if that fails."""
    found = attempt()
    return found if isinstance(found, ctypes.CDLL) else None


def problem() -> str | None:
    """The reason why `library` is None."""
    found = attempt()
    return None if isinstance(found, ctypes.CDLL) else str(found)


@cache
def attempt() -> ctypes.CDLL | NoLibraryError:
    """The compiled source, or why there is none, once in a process."""
    try:
        return compiled_library(SOURCE, FLAGS, 'mmagg_dynamic_conv')
    except NoLibraryError as error:
        if error.failed:
            logging.getLogger(__name__).warning(f'{SOURCE.name} is of no use, the slower form in torch runs: {error}')
        return error


def dynamic_conv_of_gathered(
    maps: Tensor, index: Tensor, shared: Tensor, params: Tensor, spec: DynamicConvSpec
) -> tuple[Tensor, Tensor]:
    """`dynamic_conv.dynamic_conv_of_gathered` for `usable` tensors.

    Args:
        maps: (U, h, w).
        index: (N, K) integers.
        shared: (S, H, W).
        params: (N, P).
        spec: shape of the net.

    Returns:
        (N, H, W), not finite at least where the plain form is not; and (N,) bool, whether all of an instance is finite.

    Raises:
        ValueError: tensors that do not fit each other or the net, or that are too large.
        TypeError: indices that are no integers.
        IndexError: an index outside [0, U).
        RuntimeError: tensors that are not `usable`, or not enough memory.
    """
    # Nothing behind this line looks where its pointers go.
    spec.check(maps, index, shared, params)
    compiled = library()
    if compiled is None or not usable(maps, shared, params) or index.device.type != 'cpu':
        raise RuntimeError(f'the library, and float32 on the CPU without gradients, are needed; library: {problem()}')
    if max(*maps.shape, *index.shape, *shared.shape, *params.shape, spec.channels, spec.num_layers) > LARGEST:
        raise ValueError(f'maps, params or a net of more than {LARGEST} along one side')
    (n, k), (s, height, width), small = index.shape, shared.shape, maps.shape[1:]
    reach = spec.kernel_size // 2
    maps, index, params = maps.contiguous(), index.long().contiguous(), params.contiguous()
    behind = reach + TILE
    padded = F.pad(shared, (reach, behind + -(width + reach + behind) % LINE))
    result, finite = maps.new_empty(n, height, width), torch.empty(n, dtype=torch.bool)
    sampling = [*linear_sampling(small[0], height), *linear_sampling(small[1], width)]

    def run(first: int) -> None:
        pointers = [ctypes.c_void_p(x.data_ptr()) for x in (maps, index, padded, params, result, finite)]
        bounds = [ctypes.c_int64(first), ctypes.c_int64(min(first + INSTANCES, n))]
        net = [k, s, spec.channels, spec.num_layers, spec.kernel_size, params.shape[1]]
        sizes = [*small, height, width, padded.shape[2]]
        samples = [ctypes.c_void_p(x.data_ptr()) for x in sampling]
        if compiled.mmagg_dynamic_conv(*pointers, *bounds, *map(ctypes.c_int, net + sizes), *samples):
            raise RuntimeError('dynamic_conv: not enough memory')

    if n <= INSTANCES:
        run(0)
    else:
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # ctypes lets other threads run
            list(threads.map(run, range(0, n, INSTANCES)))
    return result, finite


def linear_sampling(small: int, large: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bilinear sampling (align_corners=False) of a line of `small` pixels at `large` ones.

    Returns:
        (large,) int32 lower neighbours, int32 higher ones, and the float32 weights of the higher ones.
    """
    place = ((torch.arange(large) + 0.5) * (small / large) - 0.5).clamp(min=0)
    low = place.int().clamp(max=small - 1)  # of millions, float32 is not exact
    return low, (low + 1).clamp(max=small - 1), place - low
