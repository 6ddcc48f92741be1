"""New codecs, mask losses and neighbour patterns: what is written here is all that each of them takes."""

from pathlib import Path

import boxed_heads
import pytest
import torch
from boxed_heads import BLENDED, boxed_head
from coded_heads import CODED, coded_head
from grid_heads import CHANNELS, KINDS, aggmask_head, batch_samples, mmagg_head, pyramid
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmagg.models.masks import MaskCodec, assume_dictionaries
from mmagg.ops.grid_neighbours import PATTERNS, Pattern


def trains_and_predicts(head: nn.Module, pyramid: list[Tensor]) -> dict[str, Tensor]:
    """One step and a prediction."""
    samples = batch_samples(['few', 'crowded'], 96, 128)
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-4)
    losses = head.loss(pyramid, samples)
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses['loss_mask'] > 0
    optimizer.step()
    with torch.no_grad():
        for found in head.eval().predict(pyramid, samples):
            assert len(found.masks) == len(found.scores)
    return losses


# A codec


@MODELS.register_module(force=True)
class BlockCodec(MaskCodec):
    """The mean logit of each block of pixels."""

    evidence = 'scale'

    def __init__(self, *, mask_size: int = 14, block: int = 2, dictionary: str | None = None) -> None:
        super().__init__(mask_size=mask_size, num_codes=(mask_size // block) ** 2, dictionary=dictionary)
        self.block = block
        self.register_buffer('scale', torch.zeros(1))
        self.read_if_there()

    def encode(self, masks: Tensor, labels: Tensor | None = None) -> Tensor:
        self.require_content()
        return nn.functional.avg_pool2d(2 * masks[:, None].float() - 1, self.block).flatten(1) * self.scale

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        self.require_content()
        side = self.mask_size // self.block
        blocks = codes.float().unflatten(1, (side, side)) / self.scale
        return blocks.repeat_interleave(self.block, 1).repeat_interleave(self.block, 2)

    def read(self, path: Path) -> None:
        self.scale.copy_(torch.load(path))
        self.fitted = True

    def assume(self) -> None:
        self.scale.fill_(3)
        self.fitted = True


@pytest.mark.parametrize('loss', ['l2', 'implicit'])
def test_a_codec(loss: str) -> None:
    head = coded_head('codes', masks=CODED | dict(codec=dict(type='BlockCodec'), loss=loss))
    with pytest.raises(ValueError, match='BlockCodec: no `dictionary` is given'):
        trains_and_predicts(head, boxed_heads.pyramid(2, 96, 128))
    assume_dictionaries(head)
    assert head.masks.num_coefficients == 49
    trains_and_predicts(head, boxed_heads.pyramid(2, 96, 128))


@MODELS.register_module(force=True)
class WholePixelCodec(MaskCodec):
    """The pixels themselves: nothing is fitted, so encoding and decoding are all there is."""

    def __init__(self, *, mask_size: int = 14) -> None:
        super().__init__(mask_size=mask_size, num_codes=mask_size**2)

    def encode(self, masks: Tensor, labels: Tensor | None = None) -> Tensor:
        return 2 * masks.float().flatten(1) - 1

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return codes.float().unflatten(1, (self.mask_size, self.mask_size))


def test_a_codec_without_content() -> None:
    head = coded_head('codes', masks=CODED | dict(codec=dict(type='WholePixelCodec')))
    trains_and_predicts(head, boxed_heads.pyramid(2, 96, 128))
    head.load_state_dict(head.state_dict())
    assert head.masks.codec.fitted
    with pytest.raises(ValueError, match='WholePixelCodec: reads no dictionary'):
        head.masks.codec.read(Path('codec.npz'))


# A mask loss


@MODELS.register_module(force=True)
class SquaredErrorLoss(nn.Module):
    """Of probabilities (masks), per pixel, or of numbers as they are (codes)."""

    def __init__(self, probs: bool = True, per_pixel: bool = True) -> None:
        super().__init__()
        self.probs, self.per_pixel = probs, per_pixel

    def forward(self, pred: Tensor, target: Tensor, reduction_override: str = 'none') -> Tensor:
        losses = ((pred.sigmoid() if self.probs else pred) - target.float()).square()
        return losses if self.per_pixel else losses.flatten(1).mean(1)


FAMILIES = {
    **{kind: lambda loss, kind=kind: mmagg_head(kind, loss_mask=loss) for kind in KINDS},
    'aggmask': lambda loss: aggmask_head('solo', loss_mask=loss),
    'blendmask': lambda loss: boxed_head('blend', masks=BLENDED | dict(loss_mask=loss)),
    'meinst': lambda loss: coded_head('codes', masks=CODED | dict(loss_mask=loss | dict(probs=False))),
    'meinst, implicit': lambda loss: coded_head('codes', masks=CODED | dict(loss='implicit', loss_mask=loss)),
}


@pytest.mark.parametrize('family', FAMILIES)
def test_a_mask_loss(family: str) -> None:
    boxes = family in ('blendmask', 'meinst', 'meinst, implicit')
    feats = (boxed_heads.pyramid if boxes else pyramid)(2, 96, 128)
    values = []
    for per_pixel in (True, False):  # a loss may be one number a mask, too
        torch.manual_seed(0)
        head = FAMILIES[family](dict(type='SquaredErrorLoss', per_pixel=per_pixel))
        values.append(trains_and_predicts(head, feats)['loss_mask'])
    torch.testing.assert_close(*values)


@pytest.mark.parametrize('family', ['blendmask', 'meinst, implicit'])
def test_mmdets_losses_of_whole_masks(family: str) -> None:
    loss = dict(type='DiceLoss', use_sigmoid=True, loss_weight=3.0)
    trains_and_predicts(
        boxed_head('blend', masks=BLENDED | dict(loss_mask=loss))
        if family == 'blendmask'
        else coded_head('codes', masks=CODED | dict(loss='implicit', loss_mask=loss)),
        boxed_heads.pyramid(2, 96, 128),
    )


# A neighbour pattern


def test_a_neighbour_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PATTERNS, 'diagonal', Pattern(((-1, -1), (-1, 1), (0, 0), (1, -1), (1, 1))))
    parameters = dict(type='DynamicParameters', in_channels=CHANNELS, channels=CHANNELS)
    aggregator = dict(type='DynamicAggregator', neighbours='diagonal', context=None, parameters=parameters)
    head = mmagg_head('solo', aggregator=aggregator)
    assert head.aggregator.spec.in_channels == 5
    trains_and_predicts(head, pyramid(2, 96, 128))
