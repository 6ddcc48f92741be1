"""AggMask over CondInst against a loop over detections, neighbours and layers, and against mmdet's CondInst."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.utils import aligned_bilinear
from mmdet.registry import MODELS
from slim_configs import few_classes, slim
from test_configs import sample
from torch import Tensor

from mmagg.apis.config import load_config
from mmagg.models.heads.condinst_heads import neighbours_of, steps_of

NAME = 'mmagg::aggmask/condinst-aggmask_r50_fpn_1x_coco.py'
SIZE = 96


def detector(theirs: bool = False, **options):
    given = {f'model.mask_head.{key}': value for key, value in options.items()}
    if 'neighbours' in options:
        given['model.bbox_head.neighbours'] = options['neighbours']
    cfg = load_config(NAME, given | {'model.test_cfg.score_thr': 0.0, 'model.test_cfg.max_per_img': 12})
    slim(cfg.model)
    few_classes(cfg.model)
    if theirs:
        del cfg.model.mask_head.location_channels
        cfg.model.bbox_head.type, cfg.model.mask_head.type = 'CondInstBboxHead', 'CondInstMaskHead'
    torch.manual_seed(0)
    return MODELS.build(cfg.model).eval()


def aggregating(**options):
    """One whose aggregation changes the masks."""
    model = detector(**options)
    torch.nn.init.normal_(model.mask_head.parameters_of_net.weight)
    torch.nn.init.normal_(model.mask_head.parameters_of_net.bias, std=0.2)
    return model


def predict(model, images: Tensor) -> list:
    with torch.no_grad():
        return [x.pred_instances for x in model(images, [sample(SIZE) for _ in images], mode='predict')]


def one_by_one(model, images: Tensor, image: int, points: Tensor, strides: Tensor) -> Tensor:
    """The aggregated logits of locations of an image, each on its own."""
    feats = model.extract_feat(images)
    maps = model.bbox_head(feats)[3]
    mask_feat = model.mask_head.mask_feature_head(feats)[image]
    head, number = model.mask_head, model.bbox_head.controller.out_channels
    height, width = mask_feat.shape[1:]
    y, x = torch.meshgrid(8 * torch.arange(height) + 4.0, 8 * torch.arange(width) + 4.0, indexing='ij')
    found = []
    for point, stride in zip(points.tolist(), strides.tolist(), strict=True):
        level = maps[[8, 16, 32, 64, 128].index(stride)][image]
        row, column = int(point[1] // stride), int(point[0] // stride)
        representations = []
        for down, right in model.bbox_head.steps:
            i, j = min(max(row + down, 0), level.shape[1] - 1), min(max(column + right, 0), level.shape[2] - 1)
            distance = torch.stack([(j + 0.5) * stride - x, (i + 0.5) * stride - y]) / (stride * 8)
            out = torch.cat([distance, mask_feat])[None]
            weights, biases = head.parse_dynamic_params(level[None, :number, i, j])
            for n, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                out = F.conv2d(out.relu() if n else out, weight, bias)
            representations.append(out[0, 0])
        net = torch.cat([torch.stack(representations), mask_feat])[None]
        theta = head.parameters_of_net(level[number:, row, column])[None]
        for n, (weight, bias) in enumerate(head.spec.split(theta)):
            net = F.conv2d(net.relu() if n else net, weight[0], bias[0], padding=head.spec.kernel_size // 2)
        own = representations[model.bbox_head.steps.index((0, 0))]
        found.append(aligned_bilinear((own + net[0, 0])[None, None], 2)[0, 0])
    return torch.stack(found)


@pytest.mark.parametrize('options', [{}, dict(neighbours='8', channels=2), dict(num_layers=1, byte_budget=1)], ids=str)
def test_logits_and_gradients_are_those_of_a_loop(options: dict) -> None:
    model, images = aggregating(**options).double(), torch.randn(2, 3, SIZE, SIZE).double()
    found, given = logits_of(model, images)
    assert all(len(points) > 4 for points, _ in given)
    parameters = [p for p in model.parameters() if p.requires_grad]
    for image, (points, strides) in enumerate(given):
        expected = one_by_one(model, images, image, points, strides)
        torch.testing.assert_close(found[image], expected)
        upstream = torch.randn_like(expected)
        ours, theirs = (
            torch.autograd.grad(out, parameters, upstream, retain_graph=True, allow_unused=True, materialize_grads=True)
            for out in (found[image], expected)
        )
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6 * max(1e-3, float(b.abs().max())))
    with torch.no_grad():  # in float32, in chunks, compiled
        quick, _ = logits_of(model.float(), images.float())
    for a, b in zip(quick, found, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def logits_of(model, images: Tensor) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
    """The logits of all positive locations of each image, and their places and strides."""
    feats = model.extract_feat(images)
    model.bbox_head.loss(feats, [sample(SIZE) for _ in images])
    infos = model.bbox_head.get_positive_infos()
    given = [(info.points, info.strides) for info in infos]
    (found,) = model.mask_head(feats, infos)
    return found, given


def test_a_checkpoint_of_condinst_predicts_the_same() -> None:
    theirs, ours = detector(theirs=True), detector()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert missing == ['mask_head.parameters_of_net.weight', 'mask_head.parameters_of_net.bias']
    assert not unexpected
    images = torch.randn(2, 3, SIZE, SIZE)
    for a, b in zip(predict(ours, images), predict(theirs, images), strict=True):
        assert len(a) == 12
        assert torch.equal(a.bboxes, b.bboxes)
        assert torch.equal(a.scores, b.scores)
        assert torch.equal(a.masks, b.masks)
        assert 'neighbours' not in a


def test_a_representation_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = aggregating()
    number = []
    compute = model.mask_head.representations
    monkeypatch.setattr(
        model.mask_head,
        'representations',
        lambda feat, given: number.append(len(given.unique(dim=0))) or compute(feat, given),
    )
    seen = []
    monkeypatch.setattr(
        model.mask_head,
        'dynamic_conv_forward',
        lambda x, w, b, n, f=model.mask_head.dynamic_conv_forward: seen.append(n) or f(x, w, b, n),
    )
    found, _ = predict(model, torch.randn(2, 3, SIZE, SIZE))
    assert len(found) == 12
    assert sum(seen) == sum(number) < 2 * 5 * 12


def test_aggregation_changes_masks_and_learns_from_where_it_starts() -> None:
    images = torch.randn(2, 3, SIZE, SIZE)
    assert not torch.equal(predict(aggregating(), images)[0].masks, predict(detector(), images)[0].masks)
    model = detector().train()
    losses = model(images, [sample(SIZE), sample(SIZE)], mode='loss')
    losses['loss_mask'].backward()
    gradient = model.mask_head.parameters_of_net.weight.grad
    assert gradient[-37:].abs().sum() > 0
    assert gradient[:-37].abs().sum() == 0  # until the last layer is not zero


def test_no_detection_and_no_object() -> None:
    model = aggregating()
    model.bbox_head.test_cfg.score_thr = 1.0
    assert len(predict(model, torch.randn(2, 3, SIZE, SIZE))[0]) == 0
    empty = sample(SIZE)
    empty.gt_instances = empty.gt_instances[:0]
    losses = model.train()(torch.randn(2, 3, SIZE, SIZE), [empty, empty.clone()], mode='loss')
    assert losses['loss_mask'] == 0


def test_neighbours_end_at_the_border_of_their_level() -> None:
    maps = [torch.arange(6.0).view(1, 2, 3), 10 + torch.arange(2.0).view(1, 1, 2)]
    points = torch.tensor([[4.0, 4], [20, 12], [24, 8]])
    strides = torch.tensor([8.0, 8, 16])
    found, cells = neighbours_of(points, strides, maps, strides_of_levels=[8, 16], steps=steps_of('4'))
    assert cells.tolist() == [[0, 0, 0, 1, 3], [2, 4, 5, 5, 5], [7, 6, 7, 7, 7]]
    assert found[..., 0].tolist() == [[0, 0, 0, 1, 3], [2, 4, 5, 5, 5], [11, 10, 11, 11, 11]]
    assert found[1, :, 1:].tolist() == [[20, 4, 8], [12, 12, 8], [20, 12, 8], [20, 12, 8], [20, 12, 8]]
    assert found[2, 1].tolist() == [10, 8, 8, 16]


@pytest.mark.parametrize('pattern', ['corners', 'none', 'all'])
def test_a_pattern_needs_a_centre(pattern: str) -> None:
    with pytest.raises(ValueError, match=f"^neighbours?.*'{pattern}'"):
        steps_of(pattern)
