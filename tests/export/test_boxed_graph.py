"""The graph of masks in boxes against the head that it is of: candidates, masks, and what comes after them."""

import numpy as np
import pytest
import torch
from boxed_heads import BLENDED, boxed_head
from boxed_heads import KINDS as BLENDING
from coded_heads import KINDS as CODING
from coded_heads import coded_head, dct_mask_head
from exported_heads import boxed_detector, sample

from mmagg.export.boxed_graph import BoxedGraph
from mmagg.export.candidates import best, best_pairs_by_level
from mmagg.export.graphs import graph_of
from mmagg.export.plain_modules import exportable
from mmagg.io.errors import InputError
from mmagg.ops import rle_to_masks
from mmagg.runtime.boxed_post_processor import BoxedPostProcessor
from mmagg.runtime.suppression import box_nms

PCA = dict(type='CodedMasks', codec=dict(type='DCTMaskCodec', mask_size=14, num_codes=9))
HEADS = {
    **{f'BlendMask, {kind}': lambda kind=kind: boxed_head(kind) for kind in BLENDING},
    'BlendMask, nearest': lambda: boxed_head('blend', masks=BLENDED | dict(top='nearest')),
    'BlendMask, without the half pixel': lambda: boxed_head('blend', masks=BLENDED | dict(pooling='align_v1')),
    **{f'MEInst, {kind}': lambda kind=kind: coded_head(kind) for kind in CODING},
    'MEInst, DCT': lambda: coded_head('codes', masks=PCA),
    'MEInst, DCT-Mask': dct_mask_head,
    'BlendMask, boxes as they are': lambda: boxed_head('blend', test_cfg=dict(clip_boxes=False)),
    'FCOS': lambda: boxed_head('blend', masks=None),
}


@pytest.mark.parametrize('kind', HEADS)
@torch.no_grad()
def test_instances_are_the_heads(kind):
    """Of two images with padding, by the post-processor in NumPy."""
    detector = boxed_detector(HEADS[kind]())
    head, images = detector.mask_head, torch.randn(2, 3, 128, 160)
    sizes = [(120, 133), (128, 160)]
    results = head.predict(detector.extract_feat(images), [sample(*size, (128, 160)) for size in sizes])
    graph = BoxedGraph(exportable(detector), candidates=100)
    limits = torch.tensor([[w, h, w, h] for h, w in sizes]).float() if 'limits' in graph.inputs else None
    outputs = dict(zip(graph.outputs, graph(images, limits), strict=True))
    given = head.post_process
    post_process = BoxedPostProcessor(
        iou_thr=given.iou_thr, max_per_img=given.max_per_img, sqrt_score=given.sqrt_score, clip_boxes=given.clip_boxes
    )
    for image, (wanted, size) in enumerate(zip(results, sizes, strict=True)):
        one = {name: x[image].numpy() for name, x in outputs.items()}
        found = post_process(
            one['boxes'], one['scores'], one['labels'], one.get('masks'), img_shape=size, out_size=size
        )
        assert len(wanted.scores) > 5, 'the comparison needs instances'
        np.testing.assert_allclose(found.scores, wanted.scores.numpy(), atol=1e-4)
        np.testing.assert_allclose(found.boxes, wanted.bboxes.numpy(), atol=1e-3)
        assert found.labels.tolist() == wanted.labels.tolist()
        if 'masks' in wanted:
            assert wanted.masks.any()
            assert (rle_to_masks(list(found.rles), *size) != wanted.masks).float().mean() < 1e-4
        else:
            assert set(found.rles) == {None}


@torch.no_grad()
def test_an_image_with_fewer_boxes_than_candidates():
    head = boxed_head('blend', test_cfg=dict(max_per_img=1000))
    graph = BoxedGraph(exportable(boxed_detector(head)), candidates=300)
    boxes, scores, labels, masks = graph(torch.randn(1, 3, 64, 64))
    assert boxes.shape == (1, 300, 4)
    assert masks.shape[:2] == (1, 300)
    number = int((scores > 0).sum())
    assert 0 < number < 300
    assert (scores[:, :number] > 0).all()
    assert (labels >= 0).all()


def test_no_more_candidates_than_detections():
    assert graph_of(boxed_detector(boxed_head('blend')), candidates=300).candidates == 100
    many = boxed_head('blend', test_cfg=dict(max_per_img=400))
    assert graph_of(boxed_detector(many)).candidates == 400


@torch.no_grad()
def test_no_more_candidates_than_enter_nms():
    head = boxed_head('blend', test_cfg=dict(nms_pre=5, clip_boxes=False))
    graph = BoxedGraph(exportable(boxed_detector(head)), candidates=100)
    assert graph.candidates == 5 * 3
    assert graph(torch.randn(1, 3, 64, 64))[1].shape == (1, 15)


@torch.no_grad()
def test_candidates_are_what_nms_leaves():
    """The post-processor's own NMS finds nothing more to suppress."""
    graph = BoxedGraph(exportable(boxed_detector(boxed_head('blend', test_cfg=dict(clip_boxes=False)))), candidates=100)
    boxes, scores, labels, _ = (x[0].numpy() for x in graph(torch.randn(1, 3, 128, 160)))
    boxes, labels = boxes[scores > 0], labels[scores > 0]
    assert len(boxes) > 20, 'the comparison needs boxes'
    kept = box_nms(boxes, labels, iou_thr=graph.model.mask_head.post_process.iou_thr, most=100)
    assert kept.tolist() == list(range(len(boxes)))


def test_the_best_of_each_level_then_of_all():
    levels = [torch.tensor([[[0.9, 0.1], [0.8, 0.7]]]), torch.tensor([[[0.6, 0.75]]])]
    pairs = best_pairs_by_level(levels, 2)
    assert pairs.scores.tolist() == [pytest.approx([0.9, 0.8, 0.75, 0.6])]
    found, index = best(pairs, 3)
    assert found.scores.tolist() == [pytest.approx([0.9, 0.8, 0.75])]
    assert found.places.tolist() == [[0, 1, 2]]
    assert found.labels.tolist() == [[0, 0, 1]]
    assert index.tolist() == [[0, 1, 2]]


def test_roi_pool_is_refused():
    with pytest.raises(InputError, match='RoIPool'):
        graph_of(boxed_detector(boxed_head('blend', masks=BLENDED | dict(pooling='pool'))))
