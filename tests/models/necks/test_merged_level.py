"""The one level that SOLO's Table 2 has instead of a pyramid."""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

from mmagg.models.necks import MergedLevel


def stages(batch: int = 2) -> list[torch.Tensor]:
    """C3 to C5 of odd sizes."""
    return [torch.randn(batch, c, *size).double() for c, size in ((3, (9, 13)), (4, (5, 7)), (5, (3, 4)))]


def test_it_sums_all_stages_at_the_first_one_s_size() -> None:
    neck = MODELS.build(dict(type='MergedLevel', in_channels=[3, 4, 5], out_channels=6)).double()
    maps, total = stages(), 0.0
    for conv, x in zip(neck.laterals, maps, strict=True):
        lateral = torch.einsum('oc,bchw->bohw', conv.weight[:, :, 0, 0], x) + conv.bias[:, None, None]
        total = total + F.interpolate(lateral, size=(9, 13), mode='bilinear')
    (level,) = neck(maps)
    torch.testing.assert_close(level, F.conv2d(total, neck.conv.weight, neck.conv.bias, padding=1))
    for i in range(2):
        (alone,) = neck([x[i : i + 1] for x in maps])
        torch.testing.assert_close(alone, level[i : i + 1])


def test_every_parameter_learns_and_starts_as_fpn_s() -> None:
    neck = MergedLevel(in_channels=[3, 4, 5], out_channels=6).double()
    neck.init_weights()
    for conv in neck.laterals:  # Xavier, uniform
        bound = (6 / (conv.in_channels + 6)) ** 0.5
        assert 0.5 * bound < conv.weight.abs().max() <= bound
    (level,) = neck(stages())
    (level * torch.randn_like(level)).sum().backward()
    assert all(p.grad.any() for p in neck.parameters())
