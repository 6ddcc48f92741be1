"""Decoupled SOLO's masks against SOLO's Eq. 5, with all column and row maps there."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.models.masks import DecoupledSOLOMaskBranch
from mmagg.models.masks.grid.decoupled_solo import product_logit
from mmagg.ops import append_coordinates

GRIDS, STRIDES, SIZES = (4, 3, 1), (8, 16, 32), ((5, 7), (3, 4), (1, 1))


def branch(shared_tower: bool) -> DecoupledSOLOMaskBranch:
    net = DecoupledSOLOMaskBranch(
        in_channels=3,
        grids=GRIDS,
        strides=STRIDES,
        channels=4,
        num_convs=1,
        norm_cfg=dict(type='GN', num_groups=2),
        shared_tower=shared_tower,
    )
    for conv in (*net.convs_x, *net.convs_y):
        torch.nn.init.normal_(conv.weight)
    return net.double()


def levels() -> list[torch.Tensor]:
    return [torch.randn(2, 3, *size).double() for size in SIZES]


@pytest.mark.parametrize('shared_tower', [False, True])
def test_a_mask_is_the_product_of_its_column_s_and_its_row_s_map(shared_tower: bool) -> None:
    net, feats = branch(shared_tower), levels()
    for level, masks in enumerate(net([], feats)):
        maps = {}
        for axis, conv in (('x', net.convs_x[level]), ('y', net.convs_y[level])):
            axes = 'xy' if shared_tower else axis
            large = net.towers[axes](append_coordinates(feats[level], axes))
            maps[axis] = conv(F.interpolate(large, scale_factor=2, mode='bilinear')).sigmoid()  # (B, S, 2h, 2w)
        assert masks.stride == STRIDES[level] // 2
        assert maps['x'].shape[2:] == masks.size
        cells = torch.randint(0, GRIDS[level] ** 2, (6,))
        for image in range(2):
            logits, resized = masks.at(image, cells), masks.probs_at(image, cells, (9, 11))
            for n, cell in enumerate(cells.tolist()):
                i, j = divmod(cell, GRIDS[level])
                x, y = maps['x'][image, j], maps['y'][image, i]
                torch.testing.assert_close(logits[n], (x * y).logit())
                # Each map is resized, then they are multiplied.
                x, y = (F.interpolate(m[None, None], size=(9, 11), mode='bilinear')[0, 0] for m in (x, y))
                torch.testing.assert_close(resized[n], x * y)


def test_the_logit_of_a_product_survives_extremes() -> None:
    x, y = (6 * torch.randn(2, 50).double()).unbind()
    torch.testing.assert_close(product_logit(x, y).sigmoid(), x.sigmoid() * y.sigmoid())
    x = torch.tensor([200.0, 200.0, -200.0, -200.0], requires_grad=True)
    y = torch.tensor([200.0, -200.0, 200.0, -200.0])
    logits = product_logit(x, y)
    logits.sum().backward()
    # Both certain: one of the two is wrong with twice the probability that one alone is.
    torch.testing.assert_close(logits, torch.tensor([199.3069, -200, -200, -400]))
    assert x.grad.isfinite().all()
    assert product_logit(x.half(), y.half()).dtype == torch.float32


@pytest.mark.parametrize('shared_tower', [False, True])
def test_no_cells_and_gradients(shared_tower: bool) -> None:
    net = branch(shared_tower)
    for level, masks in enumerate(net([], levels())):
        none = torch.zeros(0, dtype=torch.long)
        assert masks.at(0, none).shape == (0, *masks.size)
        assert masks.probs_at(0, none, (9, 11)).shape == (0, 9, 11)
        logits = masks.at(1, torch.arange(GRIDS[level] ** 2))
        (logits * torch.randn_like(logits)).sum().backward()
    assert all(p.grad.any() for p in net.parameters())
    assert len(net.towers) == 2 - shared_tower


def test_a_map_is_computed_once_for_all_cells_of_its_column() -> None:
    (masks, *_) = branch(False)([], levels())
    maps, place = masks.x.at(0, torch.tensor([3, 1, 3, 3]))
    assert len(maps) == 2
    assert place.tolist() == [1, 0, 1, 1]
