"""BlendMask's masks against the release's values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from golden_blendmask import assert_relative, bits, read_case
from mmdet.registry import MODELS
from torch import nn

from mmagg.models.masks import BlendMaskMasks
from mmagg.models.masks.boxed.blendmask import gate
from mmagg.models.masks.boxed.boxed_masks import Positives, Regions

CASES = {
    'blender_56_4_14_bilinear': {},
    'blender_28_4_4_nearest': dict(top='nearest'),
    'blender_28_4_1_weighted_sum': dict(top='nearest'),
    'blender_28_16_4_assembler': dict(merger='assemble'),
    'blender_28_4_7_roipool': dict(pooling='pool'),
    'blender_28_4_7_alignv1': dict(pooling='align_v1'),
}


@MODELS.register_module(force=True)
class GivenBases(nn.Module):
    """Bases that are their own input."""

    def __init__(self, num_bases: int) -> None:
        super().__init__()
        self.num_bases = num_bases

    def forward(self, feats):
        return feats[0]


def blender(num_bases: int = 4, **options) -> BlendMaskMasks:
    return BlendMaskMasks(basis=dict(type='GivenBases', num_bases=num_bases), **options)


def of_case(case: dict, **options) -> BlendMaskMasks:
    size, bases, attention = case['RKM'].tolist()
    stride = round(1 / case['scale'].item())
    return blender(bases, mask_size=size, attention_size=attention, stride=stride, **options)


def rois_of(case: dict) -> torch.Tensor:
    return torch.cat([case['gt_img'][:, None].float(), case['gt_boxes']], dim=1)


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('budget', [2**28, 1], ids=['at once', 'one by one'])
def test_training_is_the_release_s(shared, name, budget) -> None:
    case = read_case(shared, name)
    masks = of_case(case, byte_budget=budget, **CASES[name])
    bases = masks.features([case['bases'].clone().requires_grad_()])
    attention = case['attn'].clone().requires_grad_() if 'attn' in case else None
    gts, rois, targets = case['gt_inds'], rois_of(case), bits(case['target_bits'], masks.mask_size)

    pooled = masks.pool(bases, rois)
    if 'rois' in case:
        assert_relative(pooled, case['rois'], 2e-5)
    logits = masks.merge(pooled[gts], attention)
    assert_relative(logits.flatten(1), case['logits'], 2e-5)
    positives = Positives(attention, gts, case['ctr'], case['loss_denorm'])
    loss = masks.loss(positives, Regions(rois, case['gt_labels'], bases), targets)
    assert_relative(loss, case['loss'], 2e-5)
    inputs = {'grad_bases': bases} | ({} if attention is None else {'grad_attn': attention})
    for (key, _), grad in zip(inputs.items(), torch.autograd.grad(loss, list(inputs.values())), strict=True):
        assert_relative(grad, case[key], 1e-4)


def test_one_base_with_sigmoids(shared) -> None:
    case = read_case(shared, 'blender_28_1_7_sigmoid_PAPER_ONLY')
    masks = blender(1, mask_size=28, attention_size=7, merger='gate')
    rois, attention = case['rois'].requires_grad_(), case['attn'].requires_grad_()
    logits = masks.merge(rois, attention)
    assert_relative(logits.sigmoid(), case['prob'], 2e-5)
    loss = F.binary_cross_entropy_with_logits(logits, case['target'].float())
    assert_relative(loss, case['bce_mean'], 2e-5)
    grads = torch.autograd.grad(loss, (rois, attention))
    assert_relative(grads[0], case['grad_rois'], 1e-4)
    assert_relative(grads[1], case['grad_attn'], 1e-4)


def test_detections_are_the_release_s(shared) -> None:
    case = read_case(shared, 'blender_test_56_4_14')
    masks = blender()
    rois = torch.cat([case['box_img'][:, None].float(), case['boxes']], dim=1)
    probs = masks.decode(case['attn'], Regions(rois, case['box_img'], case['bases'])).sigmoid()
    assert (probs[:2, ::4, ::4] - case['probs_head']).abs().max() <= 1e-4
    assert (probs - case['probs'].float()).abs().max() <= 2e-3


def test_no_objects_have_gradients_and_no_masks() -> None:
    masks = blender()
    bases = torch.rand(2, 4, 10, 12, requires_grad=True)
    attention = torch.zeros(0, 4 * 14**2, requires_grad=True)
    none = torch.zeros(0)
    nowhere = Regions(torch.zeros(0, 5), none.long(), bases)
    positives = Positives(attention, gts=none.long(), weights=none, denominator=torch.tensor(1e-6))
    loss = masks.loss(positives, nowhere, torch.zeros(0, 56, 56))
    loss.backward()
    assert loss == 0
    assert bases.grad.shape == bases.shape
    assert attention.grad.shape == attention.shape
    assert masks.decode(attention, nowhere).shape == (0, 56, 56)


def test_one_base_is_a_product_of_sigmoids_at_any_size() -> None:
    base, attention = (10 * torch.randn(2, 4, 1, 8, 8)).double().unbind()
    product = base.sigmoid() * attention.sigmoid()
    torch.testing.assert_close(gate(base, attention).sigmoid(), product.squeeze(1))
    extreme = gate(torch.tensor([[[[90.0, -90.0]]]]), torch.tensor([[[[90.0, 0.0]]]]))
    assert extreme.isfinite().all()


def test_wrong_switches_are_named() -> None:
    for options, message in (
        (dict(merger='sum'), "merger is 'sum'"),
        (dict(top='cubic'), "top is 'cubic'"),
        (dict(pooling='max'), "pooling is 'max'"),
        (dict(merger='gate'), '4 bases do not fit merger=gate'),
        (dict(merger='assemble'), 'attention_size² = 196'),
    ):
        with pytest.raises(ValueError, match=message):
            blender(**options)


@pytest.mark.parametrize('pooling', ['align', 'pool'])
def test_bases_may_be_channels_last(pooling) -> None:
    masks = blender(pooling=pooling)
    bases, rois = torch.rand(2, 4, 20, 24), torch.tensor([[0, 3.0, 5, 60, 70], [1, 20.0, 8, 80, 50]])
    want = masks.pool(masks.features([bases]), rois)
    other = masks.features([bases.contiguous(memory_format=torch.channels_last)])
    torch.testing.assert_close(masks.pool(other, rois), want)
