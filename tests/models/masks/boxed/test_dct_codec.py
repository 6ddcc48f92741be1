"""Cosine codes of masks, against SciPy's transform."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from scipy.fft import dctn, idctn

from mmagg.models.masks import DCTMaskCodec
from mmagg.models.masks.boxed.cosine_basis import cosine_basis, zigzag
from mmagg.models.masks.boxed.mask_codec import EPS
from mmagg.models.masks.boxed.pca_codec import Dictionary


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
