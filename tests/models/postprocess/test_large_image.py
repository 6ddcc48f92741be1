"""300 masks of a 4000 x 6000 image: 7 GB as bitmaps, and what it takes here."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from mmagg.models.postprocess import CandidateMasks, MaskPostProcessor

torch.manual_seed(0)
centres, radii = torch.rand(300, 2) * torch.tensor([200.0, 304.0]), 4 + 20 * torch.rand(300)
y, x = torch.arange(200.0)[:, None], torch.arange(304.0)


class Circles(CandidateMasks):
    size = (200, 304)

    def probs(self, index):
        distance = ((y - centres[index, 0, None, None]) ** 2 + (x - centres[index, 1, None, None]) ** 2).sqrt()
        return torch.sigmoid(radii[index, None, None] - distance)


post = MaskPostProcessor(mask_format='rle', max_per_img=300, filter_thr=0.0, byte_budget=256 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = post(
    Circles(),
    scores=torch.rand(300) * 0.8 + 0.2,
    labels=torch.arange(300) % 80,
    min_areas=torch.full((300,), 8.0),
    upsampled_size=(800, 1216),
    img_shape=(800, 1200),
    out_size=(4000, 6000),
)
print(len(result.scores), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_peak_memory_stays_near_the_budget(root):
    done = subprocess.run([sys.executable, '-c', PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    found, grown = map(int, done.stdout.split()[-2:])
    assert found > 250
    assert grown < 1.0 * 2**30, f'{grown / 2**20:.0f} MiB'
