"""The search for the best mask voting against single runs and pycocotools."""

import contextlib
import io

import pycocotools.mask as coco_mask
import pytest
import torch
from faster_coco_eval import COCO
from pycocotools.coco import COCO as REFERENCE
from pycocotools.cocoeval import COCOeval

from mmagg.experiments.voting_search import BASELINE, Variant, VotingSearch, mask_ap
from mmagg.models.postprocess import CandidateMasks, MaskPostProcessor

SIZES = {'upsampled_size': (64, 96), 'img_shape': (61, 90), 'out_size': (50, 75)}
SETTINGS = {'mask_format': 'rle', 'nms': {'type': 'MaskNMS', 'iou_thr': 0.3}, 'filter_thr': 0.0}


class Blobs(CandidateMasks):
    """Soft blobs around three centres, and a count of those that were decoded."""

    def __init__(self, num: int = 40) -> None:
        which = torch.arange(num) % 3
        centre = torch.tensor([[5.0, 6], [9, 15], [11, 19]])[which] + torch.randn(num, 2)
        radius = 3 + torch.rand(num)
        y, x = torch.arange(16.0)[:, None], torch.arange(24.0)
        distance = ((y - centre[:, 0, None, None]) ** 2 + (x - centre[:, 1, None, None]) ** 2).sqrt()
        self.soft = torch.sigmoid(radius[:, None, None] - distance)
        self.candidates = {
            'scores': 0.2 + 0.8 * torch.rand(num),
            'labels': which % 2,
            'min_areas': torch.full((num,), 4.0),
        }
        self.decoded = 0

    size = (16, 24)

    def probs(self, index: torch.Tensor) -> torch.Tensor:
        self.decoded += len(index)
        return self.soft[index]

    def run(self, post):
        return post(self, **self.candidates, **SIZES)


def test_every_variant_equals_a_run_of_its_own() -> None:
    blobs = Blobs()
    search = VotingSearch(MaskPostProcessor(**SETTINGS), [0.2, 0.6])
    assert search.variants == (BASELINE, *(Variant(w, t) for w in ('avg', 'score', 'iou') for t in (0.2, 0.6)))
    returned = blobs.run(search)
    assert blobs.decoded == 40, 'candidates are decoded once, however many variants there are'
    for variant in search.variants:
        voting = None if variant == BASELINE else {'type': 'MaskVoting', **variant._asdict()}
        expected = blobs.run(MaskPostProcessor(voting=voting, **SETTINGS))
        records = list(search.records(variant, [7], [10, 20]))
        assert len(records) > 2
        assert [record['segmentation'] for record in records] == expected.masks
        assert [record['score'] for record in records] == expected.scores.tolist()
        assert [record['category_id'] for record in records] == [10 * (x + 1) for x in expected.labels.tolist()]
        assert {record['image_id'] for record in records} == {7}
        if variant == BASELINE:
            assert returned.masks == expected.masks
    assert len({tuple(counts) for counts in search.images[0].counts.values()}) > 4, 'the variants hardly differ'


def test_the_voting_of_the_config_is_not_used() -> None:
    blobs, other = Blobs(), {'type': 'MaskVoting', 'weight': 'avg', 'iou_thr': 0.1}
    plain, voting = MaskPostProcessor(**SETTINGS), MaskPostProcessor(voting=other, **SETTINGS)
    assert blobs.run(plain).masks != blobs.run(voting).masks
    assert blobs.run(VotingSearch(voting, [0.5])).masks == blobs.run(plain).masks


def test_masks_that_variants_share_are_held_once() -> None:
    search = VotingSearch(MaskPostProcessor(**SETTINGS), [1.0])  # nobody votes
    Blobs().run(search)
    masks = list(search.images[0].counts.values())
    assert len(masks) == 4
    assert all(a is b for other in masks for a, b in zip(masks[0], other, strict=True))


# Evaluation


def square(top: int, left: int, side: int = 20) -> dict:
    mask = torch.zeros(80, 80, dtype=torch.uint8)
    mask[top : top + side, left : left + side] = 1
    rle = coco_mask.encode(mask.t().contiguous().numpy().T)
    return {'size': [80, 80], 'counts': rle['counts'].decode()}


def annotations(*, iscrowd: int = 0) -> dict:
    """Two images with objects, one without."""
    places = [(1, 3, 10, 10), (1, 5, 40, 40), (1, 3, 50, 10), (2, 5, 0, 0)]
    return {
        'images': [{'id': i, 'height': 80, 'width': 80, 'file_name': f'{i}.png'} for i in (1, 2, 3)],
        'categories': [{'id': 3, 'name': 'a'}, {'id': 5, 'name': 'b'}, {'id': 6, 'name': 'never there'}],
        'annotations': [
            {
                'id': i + 1,
                'image_id': image,
                'category_id': category,
                'segmentation': square(top, left),
                'bbox': [left, top, 20, 20],
                'area': 400,
                'iscrowd': iscrowd,
            }
            for i, (image, category, top, left) in enumerate(places)
        ],
    }


def results() -> list[dict]:
    places = [(1, 3, 11, 10, 0.9), (1, 3, 70, 60, 0.8), (1, 5, 42, 41, 0.7), (2, 5, 1, 0, 0.6), (1, 3, 54, 12, 0.5)]
    return [
        {'image_id': image, 'category_id': category, 'score': score, 'segmentation': square(top, left)}
        for image, category, top, left, score in places
    ]


@pytest.mark.parametrize('image_ids', [[1, 2, 3], [1]])
def test_ap_equals_pycocotools(image_ids: list[int]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = REFERENCE()
        truth.dataset = annotations()
        truth.createIndex()
        reference = COCOeval(truth, truth.loadRes(results()), 'segm')
        reference.params.imgIds = image_ids
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    assert 0.2 < reference.stats[0] < 0.8
    got = mask_ap(COCO(annotations()), iter(results()), image_ids, [3, 5, 6])
    assert list(got.values()) == pytest.approx(reference.stats[:3], abs=1e-9)
    assert list(got) == ['AP', 'AP50', 'AP75']


def test_nothing_found_and_nothing_to_find() -> None:
    assert set(mask_ap(COCO(annotations()), iter([]), [1, 2, 3], [3, 5]).values()) == {0.0}
    for image_ids, truth in (([3], annotations()), ([1, 2], annotations(iscrowd=1))):
        assert set(mask_ap(COCO(truth), iter(results()[:1]), image_ids, [3, 5]).values()) == {None}
