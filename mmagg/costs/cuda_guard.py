"""A process of its own for the pretended CUDA device: PyTorch's autograd asks for a guard of it (`cuda_guard.cpp`)."""

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from mmagg.io.errors import InputError
from mmagg.ops.compiled_library import NoLibraryError, library_file

SOURCE = Path(__file__).with_suffix('.cpp')
VARIABLE = 'MMAGG_PRETENDED_CUDA'  # in a guarded process: the library


def flags() -> Sequence[str]:
    """Of the compiler; the version is that of the headers."""
    folder = Path(torch.__file__).parent
    return (
        *('-O1', '-std=c++20', '-shared', '-fPIC', f'-DTORCH_OF_GUARD={torch.__version__}', f'-I{folder}/include'),
        *('-Wl,--no-as-needed', f'-L{folder}/lib', '-lc10', '-ltorch_cpu', f'-Wl,-rpath,{folder}/lib'),
    )


@cache
def guarded() -> dict[str, str]:
    """The environment of a process that can call `enter_guarded`.

    Raises:
        InputError: there is no C++ compiler, or no folder to keep the library in.
    """
    try:
        library = library_file(SOURCE, flags(), 'pretend_cuda')
    except NoLibraryError as error:
        raise InputError(f'the pretended GPU needs a library that is compiled at its first use: {error}') from error
    paths = [str(Path(__file__).parents[2]), os.environ.get('PYTHONPATH', '')]
    return os.environ | {
        'LD_PRELOAD': str(library),
        VARIABLE: str(library),
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        'CUDA_VISIBLE_DEVICES': '',  # where there is a GPU, it stays untouched
    }


def enter_guarded() -> None:
    """To be called once in a guarded process, before any gradient is computed."""
    os.environ.pop('LD_PRELOAD')  # not for the processes that this one starts
    ctypes.CDLL(os.environ[VARIABLE]).pretend_cuda()
