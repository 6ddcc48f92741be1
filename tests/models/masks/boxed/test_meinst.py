"""MEInst's masks: losses on codes and on decoded masks, against loops over instances in float64."""

import math

import pytest
import torch
from coded_heads import CODED, CODES, SIZE
from grid_heads import CLASSES
from mmdet.registry import MODELS

from mmagg.models.masks.boxed.boxed_masks import BoxedMasks, Positives, Regions

LOSSES = ('l2', 'l1', 'smooth_l1', 'cosine', 'implicit')
DIRECT = dict(type='CodedMasks', codec=None, mask_size=SIZE, loss='implicit')


def case(*, number: int = 12, objects: int = 5, channels: int = CODES, weight: float = 1.0):
    """Predictions of some positives of a few objects, and what they are given."""
    given = dict(
        gts=torch.randint(0, objects, (number,)) if objects else torch.zeros(0).long(),
        weights=weight * torch.rand(number),
        rois=torch.zeros(objects, 5),
        labels=torch.randint(0, CLASSES, (objects,)),
        targets=(torch.rand(objects, SIZE, SIZE) > 0.5).to(torch.uint8),
    )
    given['denominator'] = given['weights'].sum().clamp(min=1e-6)
    return torch.randn(number, channels, requires_grad=True), given


def loss_of(masks: BoxedMasks, codes: torch.Tensor, given: dict) -> torch.Tensor:
    return masks.loss(
        Positives(codes, given['gts'], given['weights'], given['denominator']),
        Regions(given['rois'], given['labels'], None),
        given['targets'],
    )


def term(kind: str, a: float, b: float) -> float:
    difference = abs(a - b)
    if kind == 'smooth_l1':
        return difference**2 / 2 if difference < 1 else difference - 0.5
    return difference**2 if kind == 'l2' else difference


def instance_loss(kind: str, codes: list, wanted: list) -> float:
    if kind == 'cosine':
        dot = sum(a * b for a, b in zip(codes, wanted, strict=True))
        return 1 - dot / math.hypot(*codes) / math.hypot(*wanted)
    if kind == 'implicit':  # of logits and pixels
        return -sum(math.log(1 / (1 + math.exp(-x if y else x))) for x, y in zip(codes, wanted, strict=True))
    return sum(term(kind, a, b) for a, b in zip(codes, wanted, strict=True))


def naive(kind: str, masks, codes, given) -> float:
    """One instance after the other."""
    total = 0.0
    for code, gt, weight in zip(codes.double(), given['gts'].tolist(), given['weights'].tolist(), strict=True):
        label, target = given['labels'][gt : gt + 1], given['targets'][gt : gt + 1]
        if kind == 'implicit':
            logits = masks.codec.double().decode(code[None], label) if masks.codec else code
            total += weight * instance_loss(kind, logits.flatten().tolist(), target.flatten().tolist())
        else:
            wanted = masks.codec.double().encode(target, label)
            total += weight * instance_loss(kind, code.tolist(), wanted.flatten().tolist())
    terms = 1 if kind == 'cosine' else SIZE**2 if kind == 'implicit' else len(codes[0])
    return total / max(given['denominator'].item() * terms, 1)


@pytest.mark.parametrize('weight', [1.0, 1e-4])  # a denominator above and below 1
@pytest.mark.parametrize('config', [*(CODED | dict(loss=x) for x in LOSSES), DIRECT], ids=[*LOSSES, 'direct'])
def test_loss_is_the_sum_over_instances(config, weight) -> None:
    masks = MODELS.build(config)
    codes, given = case(channels=masks.num_coefficients, weight=weight)
    loss = loss_of(masks, codes, given)
    assert loss.item() == pytest.approx(naive(config['loss'], masks, codes.detach(), given), rel=1e-5)
    assert loss > 0


@pytest.mark.parametrize('config', [*(CODED | dict(loss=x) for x in LOSSES), DIRECT], ids=[*LOSSES, 'direct'])
def test_no_positives_no_loss_but_gradients(config) -> None:
    masks = MODELS.build(config)
    for objects in (0, 3):  # objects that no location finds
        codes, given = case(number=0, objects=objects, channels=masks.num_coefficients)
        loss = loss_of(masks, codes, given)
        assert loss == 0
        loss.backward()
        assert codes.grad is not None


@pytest.mark.parametrize('per, number', [('object', 5), ('positive', 12)])
def test_masks_are_encoded_once_per_object_or_per_positive(per, number) -> None:
    masks = MODELS.build(CODED | dict(encode_per=per, codec=dict(type='RotatedCodec', noise=1.0)))
    codes, given = case()
    loss_of(masks, codes, given).backward()
    assert masks.codec.encoded == [number]
    wanted = masks.encode(given['targets'], given['labels'], torch.tensor([2, 2, 1]))
    assert (wanted[0] == wanted[1]).all() == (per == 'object')
    assert not wanted.requires_grad


def test_what_decodes_to_the_mask_costs_nothing() -> None:
    masks = MODELS.build(CODED)
    _, given = case()
    exact = masks.encode(given['targets'], given['labels'], given['gts'])
    assert loss_of(masks, exact, given) == 0
    assert loss_of(masks, exact + 0.1, given) == pytest.approx(0.01, rel=1e-4)


def test_decoding_is_the_codec_s() -> None:
    masks = MODELS.build(CODED)
    codes, labels = torch.randn(4, CODES), torch.tensor([0, 1, 2, 3])
    logits = masks.decode(codes.half(), Regions(torch.zeros(4, 5), labels, None))
    torch.testing.assert_close(logits, masks.codec.decode(codes, labels), rtol=0.01, atol=0.01)
    assert logits.dtype == torch.float
    assert masks.num_coefficients == CODES


def test_without_a_codec_coefficients_are_rows_of_logits() -> None:
    masks = MODELS.build(DIRECT)
    logits, anywhere = torch.randn(3, SIZE, SIZE), Regions(torch.zeros(3, 5), torch.zeros(3).long(), None)
    assert masks.num_coefficients == SIZE**2
    assert torch.equal(masks.decode(logits.flatten(1), anywhere), logits)
    assert masks.decode(logits.flatten(1).half(), anywhere).dtype == torch.float
    perfect = torch.where(logits > 0, 50.0, -50.0)
    _, given = case(number=3, objects=3)
    given |= dict(gts=torch.arange(3), targets=(logits > 0).to(torch.uint8))
    assert loss_of(masks, perfect.flatten(1), given) < 1e-6


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('loss', LOSSES)
def test_half_precision_codes(loss, autocast, dtype) -> None:
    masks = MODELS.build(CODED | dict(loss=loss))
    codes, given = case()
    with torch.autocast('cpu', dtype, enabled=autocast):
        got = loss_of(masks, codes.to(dtype), given)
    assert got.dtype == torch.float
    got.backward()
    assert codes.grad.isfinite().all()
    torch.testing.assert_close(got, loss_of(masks, codes, given), rtol=0.02, atol=0)


def test_cosine_sees_the_direction_only() -> None:
    masks = MODELS.build(CODED | dict(loss='cosine'))
    codes, given = case()
    torch.testing.assert_close(loss_of(masks, 7 * codes, given), loss_of(masks, codes, given))
    opposite = -masks.encode(given['targets'], given['labels'], given['gts'])
    assert loss_of(masks, opposite, given) == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(loss='l3'), "loss is 'l3'"),
        (dict(encode_per='image'), "encode_per is 'image'"),
        (dict(codec=None), 'one of them'),
        (dict(mask_size=28), 'one of them'),
        (dict(codec=None, mask_size=28), "must be 'implicit'"),
    ],
)
def test_bad_arguments_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS.build(CODED | options)
