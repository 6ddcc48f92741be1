"""How many bytes the tensors of a chunk may take."""

import torch

BYTES = 64 * 2**20  # on the CPU, and the least on a GPU
GPU_SHARE = 32  # of a GPU's memory; of all instead of what is free, so that results do not depend on what else runs
CACHE_BYTES = 8 * 2**20


def budget_on(device: torch.device, byte_budget: int | None) -> int:
    """A byte budget; None is the device's: on a GPU few calls, on the CPU little memory."""
    if byte_budget is not None:
        return byte_budget
    if device.type != 'cuda':
        return BYTES
    return max(BYTES, torch.cuda.get_device_properties(device).total_memory // GPU_SHARE)


def chunk_size(bytes_per_item: int, byte_budget: int) -> int:
    """Number of items of `bytes_per_item` bytes within `byte_budget` bytes; at least one."""
    return max(1, byte_budget // max(1, bytes_per_item))


def cached_budget(byte_budget: int, device: torch.device) -> int:
    """The part of a byte budget that element-wise passes should use: on the CPU what stays in its caches.

    Passes over cached memory are two to three times as fast.
    """
    return min(byte_budget, CACHE_BYTES) if torch.device(device).type == 'cpu' else byte_budget
