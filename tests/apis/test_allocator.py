"""Freed memory is kept: counted in page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from mmagg.apis.allocator import keep_freed_memory

if sys.argv[1] == 'keep':
    assert keep_freed_memory()
torch.ones(20 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(20 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='glibc only')
def test_large_tensors_reuse_pages():
    usual, kept = (
        int(subprocess.run([sys.executable, '-c', FAULTS, what], capture_output=True, check=True, text=True).stdout)
        for what in ('usual', 'keep')
    )
    assert kept < 0.5 * usual
