"""Coefficients at places, against convolutions of everything."""

import pytest
import torch
from grid_heads import NORM

from mmagg.models.masks import Coefficients

SIZES = ((6, 9), (3, 5), (1, 1))


def part(**options) -> Coefficients:
    return Coefficients(num_coefficients=7, in_channels=3, channels=4, **options).double()


def levels(channels: int, batch: int = 2) -> list[torch.Tensor]:
    return [torch.randn(batch, channels, *size).double() for size in SIZES]


FORMS = {
    'box tower': {},
    'own tower': dict(tower=dict(num_convs=1, norm_cfg=NORM)),
    'large kernel': dict(large_kernel=5),
    'both': dict(tower=dict(num_convs=1, norm_cfg=NORM), large_kernel=5),
}


@pytest.mark.parametrize('form', FORMS)
def test_they_are_the_dense_convolution_at_their_places(form: str) -> None:
    net, feats, box_feats = part(**FORMS[form]), levels(3), levels(4)
    source = [net.tower(x) for x in feats] if 'tower' in FORMS[form] else box_feats
    everywhere = []  # over all levels, then images, rows and columns
    for x in source:
        dense = net.conv(x)
        everywhere += [
            dense[image, :, i, j] for image in range(2) for i in range(x.shape[2]) for j in range(x.shape[3])
        ]
    everywhere, features = torch.stack(everywhere), net.features(feats, box_feats)
    places = torch.randint(0, len(everywhere), (30,))  # in any order, some of them twice
    torch.testing.assert_close(net.at(features, places), everywhere[places])
    last = torch.tensor([len(everywhere) - 1, 0])
    torch.testing.assert_close(net.at(features, last), everywhere[last])


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('number', [0, 5])
def test_every_parameter_has_a_gradient(form: str, number: int) -> None:
    net, box_feats = part(**FORMS[form]), levels(4)
    found = net.at(net.features(levels(3), box_feats), torch.arange(number) * 20)
    (found * torch.randn_like(found)).sum().backward()
    assert found.shape == (number, 7)
    for name, p in net.named_parameters():
        assert p.grad is not None, f'DistributedDataParallel would wait for {name}'
        assert p.grad.any() == (number > 0)


def test_initial_weights() -> None:
    net = Coefficients(num_coefficients=50, channels=64)
    net.init_weights()
    assert net.conv.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not net.conv.bias.any()
