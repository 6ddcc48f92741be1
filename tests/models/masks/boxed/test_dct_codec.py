"""Cosine codes of masks, against SciPy's transform."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures.mask import PolygonMasks
from pycocotools import mask as coco_mask
from scipy.fft import dctn, idctn

from mmagg.apis.config import load_config
from mmagg.models.masks import DCTMaskCodec
from mmagg.models.masks.boxed.boxed_masks import Positives, Regions
from mmagg.models.masks.boxed.cosine_basis import cosine_basis, zigzag
from mmagg.models.masks.boxed.mask_codec import EPS
from mmagg.models.masks.boxed.pca_codec import Dictionary
from mmagg.models.targets import box_mask_targets


@pytest.mark.parametrize('size', [7, 28])
def test_codes_and_masks_are_scipy_s(size: int) -> None:
    number = 20
    codec = MODELS.build(dict(type='DCTMaskCodec', mask_size=size, num_codes=number, whiten=False))
    masks = np.random.default_rng(0).random((5, size, size)) < 0.5
    logits = np.where(masks, 1, -1) * np.log((1 - EPS) / EPS)
    spectrum = dctn(logits, axes=(1, 2), norm='ortho')
    rows, columns = zigzag(size, number).t().numpy()
    codes = codec.encode(torch.from_numpy(masks))
    np.testing.assert_allclose(codes, spectrum[:, rows, columns], rtol=0, atol=1e-4)

    kept = np.zeros_like(spectrum)
    kept[:, rows, columns] = spectrum[:, rows, columns]
    np.testing.assert_allclose(codec.decode(codes), idctn(kept, axes=(1, 2), norm='ortho'), rtol=0, atol=1e-4)


def test_dct_mask_s_codes_and_masks_are_scipy_s() -> None:
    """300 of 128 x 128, of the masks themselves (arXiv 2011.09876)."""
    codec = DCTMaskCodec(mask_size=128, num_codes=300, whiten=False, sigmoid='none')
    y, x = np.mgrid[:128, :128]
    masks = np.stack([np.hypot(x - 50, y - 70) < 40, x + 2 * y < 150, (x // 16 + y // 16) % 2 == 0])
    spectrum = dctn(masks.astype(float), axes=(1, 2), norm='ortho')
    rows, columns = zigzag(128, 300).t().numpy()
    codes = codec.encode(torch.from_numpy(masks))
    np.testing.assert_allclose(codes, spectrum[:, rows, columns], rtol=0, atol=1e-3)

    kept = np.zeros_like(spectrum)
    kept[:, rows, columns] = spectrum[:, rows, columns]
    wanted = idctn(kept, axes=(1, 2), norm='ortho').clip(1e-4, 1 - 1e-4)
    np.testing.assert_allclose(codec.decode(codes).sigmoid(), wanted, rtol=0, atol=1e-4)


def test_whitened_codes_of_masks_and_of_logits_differ_in_the_first() -> None:
    masks = torch.rand(4, 12, 12) < 0.5
    logits, plain = (DCTMaskCodec(mask_size=12, num_codes=20, sigmoid=x).encode(masks) for x in ('constant', 'none'))
    torch.testing.assert_close(plain[:, 1:], logits[:, 1:])
    assert ((plain - logits)[:, 0] > 1).all()


def in_its_box(outline: list[np.ndarray], size: tuple[int, int]) -> torch.Tensor:
    """Polygons, from 0 to 1 in their box -> (h, w) bool."""
    pixels = [(polygon * size[::-1]).ravel().tolist() for polygon in outline]
    return torch.from_numpy(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(pixels, *size)))).bool()


def miou(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The mean of the IoU of foreground and background, where there is any."""
    pairs = [(a & b, a | b) for a, b in ((found, wanted), (~found, ~wanted))]
    return float(np.mean([both.sum() / either.sum() for both, either in pairs if either.any()]))


# mIoU in per cent by size and codes, None for the mask itself; README.md of MEInst has them.
QUALITY = {
    (28, None): 93.9,
    (28, 60): 91.5,
    (28, 100): 93.3,
    (64, None): 96.9,
    (64, 100): 94.2,
    (64, 300): 96.9,
    (128, None): 98.0,
    (128, 100): 94.3,
    (128, 300): 97.1,
}


@pytest.mark.slow
def test_photographs_masks_come_back_as_published(shared) -> None:
    """Stretched to their boxes' pixels. DCT-Mask has 98 % of 128 x 128 pixels and 97 % of 300 codes of them."""
    content = json.loads((shared / 'data/coco_masks/instances_coco2017_pool421.json').read_text())
    usable = [x for x in content['annotations'] if not x['iscrowd'] and min(x['bbox'][2:]) >= 1]
    codecs = {
        (size, number): DCTMaskCodec(mask_size=size, num_codes=number, whiten=False, sigmoid='none')
        for size, number in QUALITY
        if number is not None
    }
    found = defaultdict(list)
    for one in usable[::4]:
        x, y, width, height = one['bbox']
        polygons = [np.array(p).reshape(-1, 2) for p in one['segmentation']]
        wanted = in_its_box([(p - [x, y]) / [width, height] for p in polygons], (round(height), round(width)))
        outline, box = (
            PolygonMasks([[p.ravel() for p in polygons]], 1, 1),
            torch.tensor([[x, y, x + width, y + height]]),
        )
        masks = {size: box_mask_targets([outline], [box], size=size) for size in (28, 64, 128)}
        shown = {(size, None): mask.float() for size, mask in masks.items()}
        shown |= {key: codec.decode(codec.encode(masks[key[0]])).sigmoid() for key, codec in codecs.items()}
        for key, mask in shown.items():
            found[key].append(miou(F.interpolate(mask[None], wanted.shape, mode='bilinear')[0, 0] >= 0.5, wanted))
    assert len(found[128, 300]) > 900
    assert {key: 100 * np.mean(values) for key, values in found.items()} == pytest.approx(QUALITY, abs=0.1)


def test_the_config_s_loss_is_dct_mask_s(root: Path) -> None:
    """0.007 times the sum over the codes, averaged over the instances."""
    given = load_config(root / 'configs/meinst/meinst-dct_r50_fpn_1x_coco.py').model.mask_head
    masks = MODELS.build(given.masks)
    codes, targets = torch.randn(3, 300), (torch.rand(2, 128, 128) < 0.5).to(torch.uint8)
    gts = torch.tensor([1, 0, 1])
    positives = Positives(codes, gts, torch.ones(3), torch.tensor(3.0))
    loss = given.loss_mask_weight * masks.loss(
        positives, Regions(torch.zeros(2, 5), torch.zeros(2).long(), None), targets
    )
    rows, columns = zigzag(128, 300).t().numpy()
    wanted = dctn(targets.numpy().astype(float), axes=(1, 2), norm='ortho')[:, rows, columns]
    assert loss.item() == pytest.approx(0.007 * np.abs(codes.numpy() - wanted[gts]).sum() / 3, rel=1e-4)


def test_the_fixed_scale_is_about_right(shared) -> None:
    case = torch.load(shared / 'golden/meinst/pca_28_60_sigmoid.pt', weights_only=True)
    masks = torch.from_numpy(np.unpackbits(case['train_bits'].numpy(), axis=-1)[..., :28])
    for size in (28, 14):
        codes = DCTMaskCodec(mask_size=size).encode(masks[:, :: 28 // size, :: 28 // size])
        assert 0.5 < codes.std(0).median() < 1.5
    assert DCTMaskCodec(whiten=False).encode(masks).std(0).max() > 20


def test_a_dictionary_gives_mean_and_scale(tmp_path: Path) -> None:
    basis = cosine_basis(6, 10).float()[None]
    mean, variance = torch.randn(1, 36), torch.rand(1, 10) + 1
    Dictionary(basis, mean, variance, variance).write(tmp_path / 'dct.npz')
    codec, free = (DCTMaskCodec(mask_size=6, num_codes=8, dictionary=x) for x in (tmp_path / 'dct.npz', None))
    masks = torch.rand(4, 6, 6) < 0.5
    scale = variance[0, :8].sqrt()
    want = (free.encode(masks) * free.explained_variance.sqrt() - basis[0, :8] @ mean[0]) / scale
    torch.testing.assert_close(codec.encode(masks), want)
    assert set(codec.state_dict()) == {'components', 'mean', 'explained_variance'}


def test_other_components_are_refused_and_a_missing_file_is_not_forgotten(tmp_path: Path) -> None:
    turned = Dictionary.assumed(6, 10)
    turned._replace(components=turned.components.roll(1, 1)).write(tmp_path / 'pca.npz')
    with pytest.raises(ValueError, match=r'pca\.npz: its components are not the DCT basis'):
        DCTMaskCodec(mask_size=6, num_codes=10, dictionary=tmp_path / 'pca.npz')
    waiting = DCTMaskCodec(mask_size=6, num_codes=10, dictionary=tmp_path / 'none.npz')
    with pytest.raises(ValueError, match=r'none\.npz is missing'):
        waiting.encode(torch.zeros(1, 6, 6))
    waiting.load_state_dict(DCTMaskCodec(mask_size=6, num_codes=10).state_dict())
    assert waiting.encode(torch.zeros(1, 6, 6)).shape == (1, 10)
