"""Reconstruction errors of codecs against the release's figures and one histogram of all pixels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_up_masks import blobs, objects

from mmagg.experiments.fitted_codes import moments_of, principal_components
from mmagg.experiments.object_masks import ObjectMasks
from mmagg.experiments.reconstruction_error import PixelCounts, reconstruction_errors
from mmagg.models.masks import DCTMaskCodec, PCAMaskCodec

BUFFERS = ('components', 'mean', 'explained_variance')


@pytest.mark.parametrize('name', ['pca_28_60_sigmoid', 'pca_14_16_sigmoid', 'pca_14_16_sigmoid_batched'])
def test_error_is_the_release_s(shared, name: str) -> None:
    case = torch.load(shared / f'golden/meinst/{name}.pt', weights_only=True)
    size, number = case['size_dim'].tolist()
    codec = PCAMaskCodec(mask_size=size, num_codes=number, sigmoid='random')
    codec.load_state_dict({key: case[key] for key in BUFFERS})
    masks = np.unpackbits(case['test_bits'].numpy(), axis=-1)[..., :size]
    torch.manual_seed(7)
    (errors,) = reconstruction_errors(codec, objects(masks))
    assert errors['all'] == errors['small'] == pytest.approx(case['recon_error'].item(), abs=1e-12)
    assert errors['medium'] is errors['large'] is None


def naive_error(decoded: np.ndarray, masks: np.ndarray) -> float:
    """From one histogram of all pixels."""
    histogram = np.zeros((2, 2))
    np.add.at(histogram, (masks.ravel().astype(int), decoded.ravel().astype(int)), 1)
    common = np.diag(histogram)
    return 1 - (common / (histogram.sum(0) + histogram.sum(1) - common)).mean()


def test_error_by_size_and_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = blobs(50)
    areas = np.array([32**2 - 1, 32**2, 96**2 - 1, 96**2, 10] * 10, dtype=float)
    own = objects(masks, areas=areas)
    whole = ObjectMasks.chunks
    monkeypatch.setattr(ObjectMasks, 'chunks', lambda self: whole(self, 15))
    dictionary = principal_components(moments_of(own))
    codec = PCAMaskCodec(mask_size=8, num_codes=12)
    codec.take(dictionary)
    found = reconstruction_errors(codec, own, [3, 12])
    assert 0 < found[1]['all'] < found[0]['all']
    for number, errors in zip([3, 12], found, strict=True):
        short = PCAMaskCodec(mask_size=8, num_codes=number)
        short.take(dictionary)
        decoded = (short.decode(short.encode(own.pixels())) >= 0).numpy()
        size = np.array([0, 1, 1, 2, 0] * 10)
        groups = {'all': size >= 0, 'small': size == 0, 'medium': size == 1, 'large': size == 2}
        for name, group in groups.items():
            assert errors[name] == pytest.approx(naive_error(decoded[group], masks[group]), abs=1e-12), name


def test_decoded_masks_are_resized_to_finer_ones() -> None:
    fine, areas = blobs(30, 32), np.full(30, 5.0)
    own, many = objects(fine[:, 2::4, 2::4], areas=areas), objects(fine, areas=areas)
    codec = DCTMaskCodec(mask_size=8, num_codes=20)
    (found,) = reconstruction_errors(codec, own, fine=many)
    probs = codec.decode(codec.encode(own.pixels())).sigmoid()
    large = F.interpolate(probs[None], scale_factor=4, mode='bilinear')[0] >= 0.5
    assert found['all'] == pytest.approx(naive_error(large.numpy(), fine), abs=1e-12)
    (same,) = reconstruction_errors(codec, own, fine=own)
    assert same == reconstruction_errors(codec, own)[0]
    assert found['all'] != same['all']


def test_one_picture_of_all_masks_counts() -> None:
    counts = PixelCounts()
    masks = torch.tensor([[[1, 1], [1, 0]], [[0, 0], [0, 1]]]).bool()
    decoded = torch.tensor([[[1, 1], [1, 0]], [[0, 0], [1, 0]]]).bool()
    counts.add(decoded, masks, np.array([5.0, 5.0]))
    assert counts.errors()['all'] == pytest.approx(1 - (3 / 5 + 3 / 5) / 2)
