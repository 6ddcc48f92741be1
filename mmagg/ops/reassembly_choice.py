"""The backend that computes a reassembly (see `mmagg.ops.reassembly`): the best that can run, or the one asked for."""

import os
from functools import cache

import torch

from mmagg.ops import reassembly_mmcv

VARIABLE = 'MMAGG_REASSEMBLY'
NAMES = ('triton', 'mmcv', 'torch')  # in the order of preference on CUDA


def choose_backend(device: torch.device, dtype: torch.dtype, backend: str | None = None, *, masks: int = 0) -> str:
    """The backend that computes a reassembly.

    Args:
        device: of the inputs.
        dtype: that both inputs fit into.
        backend: the one to take; by default what MMAGG_REASSEMBLY names, else the best that can run.
        masks: what mmcv would need; see `reassembly_mmcv.number_of_masks`.

    Returns:
        'triton', 'mmcv' or 'torch'.

    Raises:
        ValueError: unknown backend.
        RuntimeError: the backend that was asked for cannot run.
    """
    source = 'backend=' if backend else f'{VARIABLE}='
    backend = backend or os.environ.get(VARIABLE)
    if not backend:
        names = NAMES if device.type == 'cuda' else ('torch',)
        return next(name for name in names if objection(name, device, dtype, masks) is None)
    if backend not in NAMES:
        raise ValueError(f'{source}{backend}: there is no such backend of reassembly; choose from {", ".join(NAMES)}')
    if device.type == 'meta':  # nothing is computed
        return 'torch'
    reason = objection(backend, device, dtype, masks)
    if reason:
        raise RuntimeError(f'{source}{backend} cannot run here: {reason}')
    return backend


def objection(name: str, device: torch.device, dtype: torch.dtype, masks: int) -> str | None:
    """The reason why a backend cannot run (arguments as of `choose_backend`), and what to do; None if it can."""
    if name == 'torch':
        return None
    if dtype == torch.float64:
        return 'it computes in float32; take backend torch for float64'
    if name == 'mmcv':
        return reassembly_mmcv.objection(device, masks)
    problem = triton_problem()
    if problem:
        return problem
    from mmagg.ops import reassembly_triton

    return reassembly_triton.objection(device)


@cache
def triton_problem() -> str | None:
    """The reason why Triton cannot be imported; None if it can."""
    try:
        from mmagg.ops import reassembly_triton  # noqa: F401
    except Exception as error:  # a broken installation may raise anything
        return ' '.join(f'{type(error).__name__}: {error}'.split())
    return None


def backends() -> str:
    """The backend that runs on each device of this machine, in words, for tools/doctor.py."""
    found = []
    for name, device in (('the CPU', 'cpu'), ('CUDA', 'cuda')):
        try:
            found.append(f'{choose_backend(torch.device(device), torch.float32)} on {name}')
        except (RuntimeError, ValueError) as error:
            found.append(f'none on {name} ({error})')
    return ', '.join(found)
