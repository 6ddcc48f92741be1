"""The numbers that codecs encode, and codecs without a file."""

import pytest
import torch
from mmdet.registry import MODELS

from mmagg.models.masks import assume_dictionaries
from mmagg.models.masks.boxed.mask_codec import EPS, mask_logits


def test_the_constant_is_the_mean_of_the_random_logits() -> None:
    draws = torch.linspace(0, 1, 100_001, dtype=torch.double)[None]
    mean = mask_logits(torch.ones_like(draws), sigmoid='random', noise=draws, dtype=torch.double).mean()
    constant = mask_logits(torch.tensor([[1, 0]]), sigmoid='constant', dtype=torch.double)[0]
    assert constant[0].item() == pytest.approx(mean.item(), abs=2e-4)
    assert constant.sigmoid().tolist() == pytest.approx([1 - EPS, EPS])


@pytest.mark.parametrize('options', [{}, dict(num_classes=3), dict(sigmoid='none'), dict(type='AutoEncoderMaskCodec')])
def test_made_up_content_for_measuring(options: dict) -> None:
    codec = MODELS.build(dict(type='PCAMaskCodec', mask_size=12, num_codes=60) | options)
    assume_dictionaries(torch.nn.ModuleList([codec]))
    assert codec.fitted
    masks, labels = torch.zeros(3, 12, 12), torch.tensor([0, 2, 1])
    masks[:, 2:9, 3:10] = 1
    decoded = codec.decode(codec.encode(masks, labels), labels)
    assert decoded.isfinite().all()
    if options.get('sigmoid') != 'none':
        assert ((decoded > 0) == masks.bool()).float().mean() > 0.9
