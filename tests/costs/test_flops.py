"""Counting parameters and multiply-adds: by hand, and against other counters."""

import copy

import pytest
import torch
import torch.nn.functional as F
from boxed_heads import KINDS as BOXED_KINDS
from boxed_heads import boxed_head
from grid_heads import CHANNELS, CLASSES, GRIDS, KINDS, mmagg_head, mmdet_head, pyramid
from mmcv.cnn.utils.flops_counter import get_model_complexity_info
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2dPack
from mmdet.models import ResNet
from mmdet.registry import MODELS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmagg.costs.flops import CONVENTIONS, count_costs, modern_counter, paper_counter, part_name
from mmagg.costs.forward_pass import evenly_spread, run_densely, without_values


class Detector(nn.Module):
    """A head on a pyramid that costs nothing."""

    def __init__(self, head: nn.Module, strides=(4, 8, 16, 32, 64)) -> None:
        super().__init__()
        self.mask_head, self.strides = head, strides

    def extract_feat(self, images):
        height, width = images.shape[-2:]
        return [images.new_zeros(1, CHANNELS, height // s, width // s) for s in self.strides]


@MODELS.register_module(force=True)
class Projected(nn.Module):
    """Masks that are a product of their coefficients and some maps."""

    num_coefficients, mask_size = 6, 5

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.zeros(6, 25))

    def features(self, feats) -> None:
        pass

    def decode(self, coefficients, regions):
        return (coefficients @ self.maps).unflatten(1, (5, 5))


class Plain(nn.Module):
    """Not a detector that the counter knows; runs as `forward` says."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.GroupNorm(2, 4), nn.Dropout())
        self.bbox_head = nn.ModuleDict({'used': nn.Linear(4, 2), 'unused': nn.Linear(4, 2)})
        self.backbone[1].requires_grad_(False)

    def forward(self, images, samples, mode):
        assert mode == 'tensor'
        assert len(samples[0].gt_instances) > 0
        pooled = self.backbone(images).mean((2, 3))
        return self.bbox_head['used'](pooled) @ pooled.new_zeros(2, 7)


def paper(module: nn.Module, *inputs: torch.Tensor) -> int:
    with paper_counter(module) as (macs, _), torch.no_grad():
        module(*inputs)
    return macs.total()


def modern(function, *inputs) -> int:
    with modern_counter(nn.Identity()) as (macs, _), torch.no_grad():
        function(*inputs)
    return macs.total()


def tiny_aggregator(**options) -> dict:
    context = dict(type='MultiLevelContext', in_channels=CHANNELS, channels=3, hidden_channels=8, num_groups=2)
    parameters = dict(type='DynamicParameters', in_channels=CHANNELS, channels=CHANNELS, kernel_size=1)
    return dict(type='DynamicAggregator', context=context, parameters=parameters) | options


# By hand


@pytest.mark.parametrize(
    'module, shape, expected',
    [
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (1, 3, 8, 10), 4 * 5 * 8 * (3 * 9 + 1)),
        (nn.Conv2d(4, 8, 1, groups=2, bias=False), (1, 4, 6, 6), 36 * 8 * 2),
        (nn.Conv1d(4, 8, 3), (1, 4, 12), 10 * 8 * (4 * 3 + 1)),
        # At the output's size, although each of its pixels sees one weight per channel only.
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 3, 5), 6 * 10 * 6 * (4 * 4 + 1)),
        (nn.Linear(16, 5), (7, 16), 7 * 16 * 5),
        (nn.BatchNorm2d(4), (1, 4, 3, 5), 2 * 60),
        (nn.BatchNorm2d(4, affine=False), (1, 4, 3, 5), 60),
        (nn.ReLU(), (1, 4, 3, 5), 60),
        (nn.MaxPool2d(2), (1, 4, 4, 6), 96),
        (nn.Upsample(scale_factor=2), (1, 4, 3, 5), 240),
        (nn.GroupNorm(2, 4), (1, 4, 3, 5), 0),
        (nn.LayerNorm(5), (1, 4, 3, 5), 0),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else '',
)
def test_paper_convention(module, shape, expected):
    assert paper(module.eval(), torch.zeros(shape)) == expected


@pytest.mark.parametrize(
    'function, shapes, expected',
    [
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), [(1, 3, 8, 10)], 4 * 5 * 8 * 27),
        (lambda x, w: F.conv2d(x, w, groups=2), [(1, 4, 6, 6), (8, 2, 1, 1)], 36 * 8 * 2),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), [(1, 4, 3, 5)], 3 * 5 * 4 * 6 * 4),
        (nn.Linear(16, 5), [(2, 7, 16)], 14 * 16 * 5),
        (torch.matmul, [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        (lambda a, b: torch.einsum('bik,jk->bij', a, b), [(2, 3, 4), (5, 4)], 2 * 3 * 4 * 5),
        (F.scaled_dot_product_attention, [(1, 2, 6, 4), (1, 2, 7, 4), (1, 2, 7, 4)], 2 * 2 * 6 * 7 * 4),
        (nn.BatchNorm2d(4).eval(), [(1, 4, 3, 5)], 0),
    ],
    ids=['conv', 'grouped', 'transposed', 'linear', 'matmul', 'einsum', 'attention', 'norm'],
)
@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_modern_convention(function, shapes, expected, device):
    if isinstance(function, nn.Module):
        function = copy.deepcopy(function).to(device)
    assert modern(function, *(torch.zeros(shape, device=device) for shape in shapes)) == expected


@pytest.mark.parametrize('kind, offsets', [(DeformConv2dPack, 2), (ModulatedDeformConv2dPack, 3)])
def test_a_deformable_convolution_is_a_plain_one_and_that_of_its_offsets(kind, offsets):
    conv = kind(4, 6, 3, padding=1).to('meta')
    x = torch.zeros(1, 4, 8, 10, device='meta')
    with pytest.raises(RuntimeError, match=r'meta|CPU'):
        conv(x)
    without_values(conv)
    assert modern(conv, x) == 80 * (6 + offsets * 9) * 4 * 9
    assert paper(conv, x) == 80 * offsets * 9 * (4 * 9 + 1)


def test_parts_parameters_and_what_is_left_out():
    model = Plain()
    costs = count_costs(model, (32, 64), convention='paper')
    rows = {name: (cost.params, cost.trainable, cost.macs) for name, cost in costs.parts.items()}
    assert rows == {
        'backbone': (12 + 8, 12, 32 * 64 * 12),
        'bbox_head.used': (10, 10, 8),
        'bbox_head.unused': (10, 10, 0),
    }
    assert costs.total.params == 40
    assert costs.uncounted == {'GroupNorm': 1}
    assert costs.idle == ['bbox_head.unused']

    costs = count_costs(model, (32, 64))
    assert costs.parts['other'].macs == 14  # a function, outside of all parts
    assert costs.total.macs == 32 * 64 * 12 + 8 + 14
    assert costs.idle == ['bbox_head.unused']


@pytest.mark.parametrize(
    'path, name',
    [
        ('backbone.layer1.0.conv1', 'backbone'),
        ('neck', 'neck'),
        ('mask_head.class_tower.0.conv', 'mask_head.class_tower'),
        ('mask_head.aggregator.context.fuse', 'mask_head.aggregator.context'),
        ('roi_head.bbox_head.0.fc_cls', 'roi_head.bbox_head'),
        ('', 'other'),
    ],
)
def test_part_name(path, name):
    assert part_name(path) == name


def test_candidates_are_spread_over_all_levels():
    assert evenly_spread(5, 13).tolist() == [0, 2, 5, 7, 10]
    assert evenly_spread(13, 13).tolist() == list(range(13))
    for number in (0, 14, None):
        with pytest.raises(ValueError, match='between 1 and 13'):
            evenly_spread(number, 13)


def test_decoding_counts_by_candidate():
    assert GRIDS == (10, 8, 6, 4, 3)
    # 45 of 225 cells are every fifth: by level 20, 13, 7, 4 and 1. One row of the last convolution each.
    pixels = [8 * 16, 8 * 16, 4 * 8, 2 * 4, 2 * 4]
    costs = count_costs(Detector(mmagg_head('solo')), (64, 128), candidates=45)
    decode = sum(n * p for n, p in zip((20, 13, 7, 4, 1), pixels, strict=True)) * CHANNELS
    assert costs.parts['mask_head.decode'].macs == decode
    # The tower ran once on every level, behind the coordinates.
    tower = sum(pixels) * 9 * CHANNELS * (CHANNELS + 2 + CHANNELS)
    assert costs.parts['mask_head.mask_branch'].macs == tower
    assert costs.idle == []


@pytest.mark.parametrize('source', ['pyramid', 'mask_features'])
def test_aggregator(source):
    kind = 'solo' if source == 'pyramid' else 'solov2'
    aggregator = tiny_aggregator()
    aggregator['context']['source'] = source
    head = mmagg_head(kind, aggregator=aggregator)
    model, shape = Detector(head), (64, 128)
    p2, cells = 16 * 32, sum(grid**2 for grid in GRIDS)
    levels = 5 if source == 'pyramid' else 1

    costs = count_costs(model, shape, convention='paper').parts
    # After upsampling and concatenation: 1x1 convolution to 8, (GroupNorm,) ReLU, 1x1 to 3.
    fuse = p2 * (8 * (levels * CHANNELS + 1) + 8 + 3 * (8 + 1))
    assert costs['mask_head.aggregator.context'].macs == fuse
    assert costs['mask_head.aggregator.parameter_branch'].macs == cells * head.aggregator.spec.num_params * (
        CHANNELS + 1
    )
    # Before upsampling, at the levels' own sizes.
    own = p2 + 8 * 16 + 4 * 8 + 2 * 4 + 1 * 2 if source == 'pyramid' else p2
    # The product that sums up the upsampled levels, of 8, 4, 2 and 1 rows.
    summed = 16 * (8 + 4 + 2 + 1) * 32 * 8 if source == 'pyramid' else 0
    costs = count_costs(model, shape, candidates=5).parts
    assert costs['mask_head.aggregator.context'].macs == own * CHANNELS * 8 + summed + p2 * 8 * 3


def test_a_tower_for_the_parameters_alone():
    head = mmagg_head('solov2', aggregator=tiny_aggregator(context=None))
    own = dict(type='DynamicParameters', in_channels=CHANNELS, channels=CHANNELS, kernel_size=1, features='own_tower')
    own['tower'] = dict(num_convs=1, norm_cfg=dict(type='GN', num_groups=4))
    with_tower = mmagg_head('solov2', aggregator=tiny_aggregator(context=None, parameters=own))
    first, second = (count_costs(Detector(x), (64, 128), convention='paper').total.macs for x in (head, with_tower))
    cells = sum(grid**2 for grid in GRIDS)
    assert second - first == cells * CHANNELS * ((CHANNELS + 2) * 9 + 1)  # and the ReLU


def boxed(kind='blend', **options):
    return Detector(boxed_head(kind, **options), strides=(8, 16, 32))


def test_masks_in_boxes():
    first, places = 8 * 16, 8 * 16 + 4 * 8 + 2 * 4
    square = 9 * CHANNELS * CHANNELS  # a place of a 3x3 convolution
    own = dict(in_channels=CHANNELS, tower=dict(num_convs=1, norm_cfg=dict(type='GN', num_groups=4)))
    boxes = places * (2 * square + 9 * CHANNELS * (CLASSES + 4 + 1))
    basis = places * square + first * square + 4 * first * (square + 4 * CHANNELS)
    for options, tower in ({}, 0), (dict(coefficients=own), places * square):
        costs = count_costs(boxed(**options), (64, 128), candidates=20)
        assert {name: cost.macs for name, cost in costs.parts.items()} == {
            'mask_head.boxes': boxes,
            'mask_head.masks': basis,
            'mask_head.coefficients': tower + 20 * 9 * CHANNELS * 64,
            'mask_head.semantic': 0,
        }
        assert costs.idle == ['mask_head.semantic']  # training only

    # Everywhere, and with bias.
    costs = count_costs(boxed(), (64, 128), convention='paper')
    assert costs.parts['mask_head.coefficients'].macs == places * (9 * CHANNELS + 1) * 64
    with pytest.raises(ValueError, match='between 1 and 168'):
        count_costs(boxed(), (64, 128), candidates=places + 1)


def test_decoding_is_a_part_of_the_masks():
    costs = count_costs(boxed(masks=dict(type='Projected')), (64, 128), candidates=7)
    assert costs.parts['mask_head.masks'].macs == 7 * 6 * 25
    assert costs.parts['mask_head.coefficients'].macs == 7 * 9 * CHANNELS * 6


def test_mistakes():
    with pytest.raises(ValueError, match='convention'):
        count_costs(Plain(), (32, 32), convention='old')
    with pytest.raises(ValueError, match='between 1 and 225'):
        count_costs(Detector(mmagg_head('solo')), (64, 64), candidates=226)
    head = mmagg_head('solo')
    head.mask_branch.__class__ = type('Unknown', (nn.Module,), dict(forward=lambda *_: None))
    with pytest.raises(TypeError, match='Unknown'):
        run_densely(head, Detector(head).extract_feat(torch.zeros(1, 3, 64, 64)))


# Against other counters and implementations


def resnet50_macs(height: int, width: int) -> int:
    """Multiply-adds of ResNet-50 (Table 1 of its paper) with stride in the 3x3 convolutions, without the classifier."""
    total = height * width // 4 * 64 * 3 * 49
    pixels, inputs = height * width // 16, 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        middle = 64 * 2**stage
        for block in range(blocks):
            before, pixels = pixels, pixels // 4 if stage and not block else pixels
            total += before * inputs * middle + pixels * (9 * middle + 4 * middle) * middle
            total += pixels * inputs * 4 * middle * (block == 0)
            inputs = 4 * middle
    return total


def test_resnet50():
    with torch.device('meta'):
        model = ResNet(50)
    model.eval()
    images = torch.zeros(1, 3, 224, 224, device='meta')
    with modern_counter(model) as (ours, _), torch.no_grad():
        model(images)
    with FlopCounterMode(display=False) as theirs, torch.no_grad():
        model(images)
    assert ours.total() == theirs.get_total_flops() // 2 == resnet50_macs(224, 224) == 4_087_136_256

    # The old counter in mmcv counts BatchNorm, ReLU and pooling in the same way.
    model = ResNet(50)
    flops, _ = get_model_complexity_info(model, (3, 64, 96), print_per_layer_stat=False, as_strings=False)
    assert paper(model, torch.zeros(1, 3, 64, 96)) == flops


@pytest.mark.parametrize('kind', KINDS)
def test_the_dense_form_of_a_lazy_head_counts_like_mmdets(kind):
    feats = pyramid(1, 64, 128)
    theirs, ours = mmdet_head(kind).eval(), mmagg_head(kind).eval()
    upsampled = []
    for module in theirs.modules():
        if isinstance(module, nn.Upsample):  # ours are functions
            module.register_forward_hook(lambda _, __, out: upsampled.append(out.numel()))
    with paper_counter(ours) as (macs, _), torch.no_grad():
        ours(feats)
        run_densely(ours, feats)
    assert macs.total() == paper(theirs, feats) - sum(upsampled)
    assert (kind == 'solov2') == bool(upsampled)


@pytest.mark.parametrize('kind', [*KINDS, *BOXED_KINDS])
def test_shapes_suffice(kind):
    model = Detector(mmagg_head(kind)) if kind in KINDS else boxed(kind)
    for convention in CONVENTIONS:
        options = dict(convention=convention, candidates=20)
        on_cpu = count_costs(model.to_empty(device='cpu'), (64, 128), **options)
        assert count_costs(model.to('meta'), (64, 128), **options) == on_cpu


@pytest.mark.parametrize('kind', ['solo', 'blend'])
def test_counting_leaves_the_model_as_it_was(kind):
    model = Detector(mmagg_head(kind)) if kind in KINDS else boxed(kind)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    for convention in CONVENTIONS:
        count_costs(model, (64, 128), convention=convention, candidates=3)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before
