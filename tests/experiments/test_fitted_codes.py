"""Fitting codecs: against the release's dictionaries, NumPy's covariance and mmdet's masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_masks import blobs, objects
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as coco_mask
from torch import Tensor

from mmagg.experiments.fitted_codes import (
    Moments,
    dct_dictionary,
    moments_of,
    per_class_components,
    principal_components,
    train_autoencoder,
    turned,
)
from mmagg.experiments.object_masks import ObjectMasks, read_masks
from mmagg.experiments.reconstruction_error import reconstruction_errors
from mmagg.models.masks import AutoEncoderMaskCodec, DCTMaskCodec, PCAMaskCodec

BUFFERS = ('components', 'mean', 'explained_variance')


# Linear codes


@pytest.mark.parametrize('name', ['pca_28_60_sigmoid', 'pca_14_16_sigmoid'])
def test_components_are_the_release_s(shared, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = torch.load(shared / f'golden/meinst/{name}.pt', weights_only=True)
    size, number = case['size_dim'].tolist()
    masks = np.unpackbits(case['train_bits'].numpy(), axis=-1)[..., :size]
    whole = ObjectMasks.chunks
    monkeypatch.setattr(ObjectMasks, 'chunks', lambda self: whole(self, 150))  # in several steps
    found = principal_components(moments_of(objects(masks), sigmoid='random', seed=123)).first(number)
    for key in (*BUFFERS, 'ratio'):
        difference = (getattr(found, key)[0] - case[key]).abs().max() / case[key].abs().max()
        assert difference <= 1e-5, key
    assert found.ratio.sum().item() == pytest.approx(case['ratio_sum'].item(), rel=1e-5)


def test_streamed_moments_are_numpy_s() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 6)) + 100
    moments = Moments(6)
    for part in np.split(rows, [7, 30]):
        moments.add(torch.from_numpy(part))
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T), rtol=1e-8, atol=1e-10)


def test_components_are_as_many_as_masks_allow() -> None:
    masks = blobs(6)
    found = principal_components(moments_of(objects(masks)))
    assert found.components.shape == (1, 5, 64)
    repeated = principal_components(moments_of(objects(np.concatenate([masks] * 4))))
    assert repeated.components.shape == (1, 5, 64)
    assert principal_components(moments_of(objects(masks[[0] * 9]))).components.shape == (1, 0, 64)
    own = found.components[0]
    torch.testing.assert_close(own @ own.t(), torch.eye(5))
    assert (own.gather(1, own.abs().argmax(1, keepdim=True)) > 0).all()


def test_constant_logits_and_masks_have_the_same_components() -> None:
    masks = objects(blobs(200))
    logits, plain = (
        principal_components(moments_of(masks, sigmoid=sigmoid), sigmoid=sigmoid != 'none').first(10)
        for sigmoid in ('constant', 'none')
    )
    torch.testing.assert_close(logits.components, plain.components, rtol=0, atol=1e-4)
    torch.testing.assert_close(logits.ratio, plain.ratio)
    assert not plain.sigmoid
    codes = []
    for dictionary, sigmoid in ((logits, 'constant'), (plain, 'none')):
        codec = PCAMaskCodec(mask_size=8, num_codes=10, sigmoid=sigmoid)
        codec.take(dictionary)
        codes.append(codec.encode(masks.pixels()))
    torch.testing.assert_close(*codes, rtol=0, atol=1e-3)
    torch.testing.assert_close(codes[0].mean(0), torch.zeros(10), rtol=0, atol=1e-4)
    torch.testing.assert_close(codes[0].std(0), torch.ones(10), rtol=0, atol=1e-4)


def test_cosines_take_mean_and_variance_of_the_masks() -> None:
    masks = objects(blobs(200))
    codec, dictionary = DCTMaskCodec(mask_size=8, num_codes=10), dct_dictionary(masks, 12)
    codec.take(dictionary)
    both = moments_of(masks)
    torch.testing.assert_close(dictionary.mean[0], both.mean.float())
    share = dictionary.explained_variance[0] / both.covariance.trace().float()
    torch.testing.assert_close(dictionary.ratio[0], share)
    codes = codec.encode(masks.pixels())
    torch.testing.assert_close(codes.mean(0), torch.zeros(10), rtol=0, atol=1e-4)
    torch.testing.assert_close(codes.std(0), torch.ones(10), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match='all the same'):
        dct_dictionary(objects(blobs(3)[[0, 0, 0]]), 12)


def test_chunks_of_large_masks_are_short() -> None:
    bits = np.zeros((600, 128**2 // 8), np.uint8)
    masks = ObjectMasks(bits, np.ones(600), np.zeros(600, int), ('a',), 128)
    assert [len(chunk) for chunk in masks.chunks()] == [256, 256, 88]
    assert [len(chunk) for chunk in objects(blobs(600)).chunks()] == [600]


def test_a_class_with_too_few_masks_takes_the_shared_dictionary() -> None:
    masks, labels = blobs(60), np.repeat([0, 1], [52, 8])
    both = objects(masks, labels=labels)
    shared = principal_components(moments_of(both))
    found = per_class_components(both, shared, 10)
    alone = principal_components(moments_of(objects(masks[:52])))
    torch.testing.assert_close(found.components[0], alone.components[0, :10])
    torch.testing.assert_close(found.explained_variance[1], shared.explained_variance[0, :10])
    assert found.components.shape == (2, 10, 64)


# The auto-encoder


def test_the_autoencoder_gets_better_than_its_start() -> None:
    masks = objects(blobs(300))
    start = principal_components(moments_of(masks))
    codec, pca = AutoEncoderMaskCodec(mask_size=8, num_codes=4, hidden=32), PCAMaskCodec(mask_size=8, num_codes=4)
    pca.take(start)
    train_autoencoder(codec, masks, start, iterations=150)
    assert reconstruction_errors(codec, masks)[0]['all'] < 0.8 * reconstruction_errors(pca, masks)[0]['all']
    assert not any(parameter.requires_grad for parameter in codec.parameters())
    codes = codec.encode(masks.pixels())
    torch.testing.assert_close(codes.mean(0), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(codes.std(0), torch.ones(4), rtol=0, atol=1e-4)


def test_masks_are_turned_to_eight_positions() -> None:
    mask = torch.arange(9).reshape(1, 3, 3)
    seen = {tuple(x) for x in turned(mask.expand(500, 3, 3)).flatten(1).tolist()}
    want = {tuple(y.flatten().tolist()) for k in range(4) for x in [mask[0].rot90(k)] for y in (x, x.flip(1))}
    assert seen == want
    assert len(want) == 8


# Masks of an annotation file

TRIANGLE = [10.0, 5, 50, 8, 30, 44]
SECOND = [60.5, 5, 70, 5, 70, 20, 60, 20]


def annotation(segmentation: list | dict, box: list[float], **fields: int) -> dict:
    return dict(segmentation=segmentation, bbox=box, area=500.0, iscrowd=0, category_id=7) | fields


def write(path: Path, annotations: list) -> Path:
    categories = [dict(id=9, name='late'), dict(id=7, name='early')]
    path.write_text(json.dumps(dict(images=[], annotations=annotations, categories=categories)))
    return path


def ring() -> np.ndarray:
    y, x = np.mgrid[:60, :80]
    return (np.abs(np.hypot(x - 40, y - 30) - 18) < 8).astype(np.uint8)


def compressed(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {'size': list(mask.shape), 'counts': rle['counts'].decode()}


def uncompressed(mask: np.ndarray) -> dict:
    flat = mask.ravel(order='F')
    edges = np.flatnonzero(np.diff(flat)) + 1
    assert flat[0] == 0
    return {'size': list(mask.shape), 'counts': np.diff([0, *edges, flat.size]).tolist()}


@pytest.mark.parametrize('workers', [1, 2])
def test_masks_are_mmdet_s(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mmagg.experiments.object_masks.CHUNK', 2)
    polygons = [[TRIANGLE], [TRIANGLE, SECOND, [1, 2, 3, 4]]]
    boxes = [[10.0, 5, 40, 39], [9.5, 4.25, 61.75, 40], [14.0, 3.0, 53.0, 54.5]]
    path = write(
        tmp_path / 'masks.json',
        [
            annotation(polygons[0], boxes[0], area=200),
            annotation(compressed(ring()), boxes[2], category_id=9),
            annotation([TRIANGLE], boxes[0], iscrowd=1),
            annotation([TRIANGLE], boxes[0], area=0),
            annotation([TRIANGLE], [1.0, 2, 0.5, 9]),
            annotation([[1.0, 2, 3, 4]], boxes[0]),
            annotation([], boxes[0]),
            annotation(uncompressed(ring()), boxes[2]),
            annotation(polygons[1], boxes[1]),
        ],
    )
    found = read_masks(path, size=28, workers=workers)
    corners = np.array(boxes, np.float32)
    corners[:, 2:] += corners[:, :2]

    def by_mmdet(masks: PolygonMasks | BitmapMasks, which: int) -> Tensor:
        own = masks.crop_and_resize(corners[which : which + 1], (28, 28), np.array([0]), device='cpu')
        return torch.from_numpy(own.to_ndarray().astype(np.uint8))

    first, last = (PolygonMasks([[np.array(p) for p in parts[:2]]], 60, 80) for parts in polygons)
    round_one = by_mmdet(BitmapMasks(ring()[None], 60, 80), 2)
    assert round_one[0, 14, 14] == 0  # the hole
    want = torch.cat([by_mmdet(first, 0), round_one, round_one, by_mmdet(last, 1)])
    assert torch.equal(found.pixels(), want)
    assert found.areas.tolist() == [200, 500, 500, 500]
    assert found.labels.tolist() == [1, 0, 1, 1]
    assert found.classes == ('late', 'early')


def test_files_that_are_no_annotations_are_one_line(tmp_path: Path) -> None:
    (tmp_path / 'text.json').write_text('{')
    (tmp_path / 'list.json').write_text('[1]')
    with pytest.raises(FileNotFoundError):
        read_masks(tmp_path / 'none.json', size=28)
    box = [1.0, 2, 30, 40]
    for path, message in (
        (tmp_path / 'text.json', 'is not COCO format'),
        (tmp_path / 'list.json', 'is not COCO format'),
        (write(tmp_path / 'flat.json', [annotation(TRIANGLE, box)]), 'annotation 0: polygons that are not lists'),
        (
            write(tmp_path / 'class.json', [annotation([TRIANGLE], box, category_id=1)]),
            'annotation 0: its category_id, 1,',
        ),
        (write(tmp_path / 'empty.json', []), 'no mask in its 0 annotations'),
        (write(tmp_path / 'boxes.json', [annotation([], box)] * 3), 'no mask in its 3 annotations'),
        (write(tmp_path / 'size.json', [annotation({'counts': 'x'}, box)]), 'annotation 0: the size of its run-length'),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            read_masks(path, size=28, workers=1)
        assert str(raised.value).startswith(str(path))
