"""The auto-encoder of masks: starts as a PCA, is frozen, travels in files and checkpoints."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from torch import Tensor

from mmagg.models.masks import AutoEncoderMaskCodec, PCAMaskCodec
from mmagg.models.masks.boxed.pca_codec import Dictionary

SIZE, NUMBER, HIDDEN = 6, 5, 8
CONFIG = dict(type='AutoEncoderMaskCodec', mask_size=SIZE, num_codes=NUMBER, hidden=HIDDEN)


def some_dictionary() -> Dictionary:
    components = torch.linalg.qr(torch.randn(1, SIZE**2, SIZE**2)).Q[:, : NUMBER + 2]
    variance = torch.rand(1, NUMBER + 2) + 0.5
    return Dictionary(components, torch.randn(1, SIZE**2), variance, variance)


def some_codec() -> AutoEncoderMaskCodec:
    """With random weights everywhere."""
    codec = MODELS.build(CONFIG)
    codec.load_state_dict({key: torch.rand(value.shape) + 0.1 for key, value in codec.state_dict().items()})
    return codec


def some_masks() -> Tensor:
    return (torch.rand(7, SIZE, SIZE) < 0.5).to(torch.uint8)


def test_starts_as_a_pca() -> None:
    dictionary, masks, codes = some_dictionary(), some_masks(), torch.randn(3, NUMBER)
    codec, pca = MODELS.build(CONFIG), PCAMaskCodec(mask_size=SIZE, num_codes=NUMBER)
    codec.start_at(dictionary)
    pca.take(dictionary)
    torch.testing.assert_close(codec.encode(masks), pca.encode(masks))
    torch.testing.assert_close(codec.decode(codes), pca.decode(codes))


def test_codes_are_standardised_and_decoded_from_there() -> None:
    codec, masks = some_codec(), some_masks()
    codes = codec.encode(masks)
    raw = codec.encoder((2 * masks.flatten(1).float() - 1) * 3.769)
    torch.testing.assert_close(codes * codec.code_scale + codec.code_mean, raw, rtol=1e-3, atol=1e-3)
    x = raw.double()
    part = {name: parameter.double() for name, parameter in codec.decoder.named_parameters()}
    hidden = (x @ part['down.weight'].t() + part['down.bias']).relu()
    want = x @ part['linear.weight'].t() + part['linear.bias'] + hidden @ part['up.weight'].t()
    torch.testing.assert_close(codec.decode(codes).flatten(1).double(), want, rtol=1e-3, atol=1e-3)


def test_is_frozen_but_passes_gradients_to_the_codes() -> None:
    codec, codes = some_codec(), torch.randn(2, NUMBER, requires_grad=True)
    codec.decode(codes).square().sum().backward()
    assert codes.grad.abs().min() > 0
    assert not any(parameter.requires_grad for parameter in codec.parameters())
    assert not codec.encode(some_masks()).requires_grad


def test_half_precision_and_no_masks() -> None:
    codec, masks, codes = some_codec(), some_masks(), torch.randn(2, NUMBER).bfloat16()
    want, want_masks = codec.encode(masks), codec.decode(codes.float())
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(codec.encode(masks.bool()), want)
        assert torch.equal(codec.decode(codes), want_masks)
    assert codec.encode(masks[:0]).shape == (0, NUMBER)
    assert codec.decode(codes[:0]).shape == (0, SIZE, SIZE)


def test_content_comes_from_a_file_or_a_checkpoint(tmp_path: Path) -> None:
    empty = MODELS.build(CONFIG)
    with pytest.raises(ValueError, match='AutoEncoderMaskCodec: no `dictionary` is given'):
        empty.encode(some_masks())
    empty.load_state_dict(MODELS.build(CONFIG).state_dict())
    assert not empty.fitted

    source, masks = some_codec(), some_masks()
    source.write(tmp_path / 'ae.npz')
    empty.load_state_dict(source.state_dict())
    for codec in (empty, MODELS.build(CONFIG | dict(dictionary=tmp_path / 'ae.npz'))):
        assert torch.equal(codec.encode(masks), source.encode(masks))


def test_files_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    some_codec().write(tmp_path / 'ae.npz')
    some_dictionary().write(tmp_path / 'pca.npz')
    np.save(tmp_path / 'array.npy', np.zeros(2))
    for name, options, message in (
        ('ae.npz', dict(num_codes=4), r'of these sizes \(.* is \(5,.*wanted \(4,'),
        ('ae.npz', dict(hidden=9), 'no auto-encoder of these sizes'),
        ('pca.npz', {}, 'no auto-encoder of these sizes .*is missing'),
        ('array.npy', {}, 'no .npz of arrays'),
    ):
        with pytest.raises(ValueError, match=message):
            MODELS.build(CONFIG | options | dict(dictionary=tmp_path / name))
