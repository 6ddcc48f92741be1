"""The numbers that codecs encode, and their content, which comes later or not at all."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from torch import Tensor

from mmagg.models.masks import MaskCodec, PCAMaskCodec, assume_dictionaries
from mmagg.models.masks.boxed.mask_codec import EPS, LEAST, NOISE, mask_logits, read_arrays

SIZE, NUMBER = 6, 5


def some_masks(number: int = 7) -> Tensor:
    return (torch.rand(number, SIZE, SIZE) < 0.5).to(torch.uint8)


def some_codec() -> PCAMaskCodec:
    return PCAMaskCodec(mask_size=SIZE, num_codes=NUMBER)


# What is encoded


@pytest.mark.parametrize('sigmoid', ['constant', 'random', 'none'])
def test_logits_are_those_of_each_pixel(sigmoid: str) -> None:
    masks, noise = some_masks(), torch.rand(7, SIZE, SIZE).double()
    got = mask_logits(masks, sigmoid=sigmoid, noise=noise, dtype=torch.double)
    assert got.shape == (7, SIZE**2)
    for value, inside, draw in zip(got.flatten(), masks.flatten().tolist(), noise.flatten().tolist(), strict=True):
        eps = EPS if sigmoid == 'constant' else max(NOISE * draw, LEAST)
        prob = 1 - eps if inside else eps
        want = inside if sigmoid == 'none' else np.log(prob / (1 - prob))
        assert value.item() == pytest.approx(want)
    for kind in (torch.bool, torch.float, torch.bfloat16):
        assert torch.equal(mask_logits(masks.to(kind), sigmoid=sigmoid, noise=noise, dtype=torch.double), got)


def test_draws_are_pytorch_s() -> None:
    masks = some_masks()
    torch.manual_seed(3)
    got = mask_logits(masks, sigmoid='random')
    torch.manual_seed(3)
    assert torch.equal(got, mask_logits(masks, sigmoid='random', noise=torch.rand(7, SIZE, SIZE)))
    assert not torch.equal(got, mask_logits(masks, sigmoid='random')), 'drawn anew'


def test_the_constant_is_the_mean_of_the_random_logits() -> None:
    draws = torch.linspace(0, 1, 100_001, dtype=torch.double)[None]
    mean = mask_logits(torch.ones_like(draws), sigmoid='random', noise=draws, dtype=torch.double).mean()
    constant = mask_logits(torch.tensor([[1, 0]]), sigmoid='constant', dtype=torch.double)[0]
    assert constant[0].item() == pytest.approx(mean.item(), abs=2e-4)
    assert constant.sigmoid().tolist() == pytest.approx([1 - EPS, EPS])


# Content


def test_refuses_to_work_without_content(tmp_path: Path) -> None:
    for dictionary, message in ((None, 'no `dictionary` is given'), (tmp_path / 'x.npz', 'x.npz is missing')):
        codec = MODELS.build(dict(type='PCAMaskCodec', mask_size=SIZE, num_codes=NUMBER, dictionary=dictionary))
        assert isinstance(codec, MaskCodec)
        assert not any(buffer.any() for buffer in codec.buffers())
        for call in (
            lambda codec=codec: codec.encode(some_masks()),
            lambda codec=codec: codec.decode(torch.zeros(1, 5)),
        ):
            with pytest.raises(ValueError, match=f'{message}.*mmagg fit-mask-codec .*--dims {NUMBER} '):
                call()
    assert codec.to('meta').decode(torch.zeros(2, NUMBER, device='meta')).shape == (2, SIZE, SIZE)


@pytest.mark.parametrize('options', [{}, dict(num_classes=3), dict(sigmoid='none'), dict(type='AutoEncoderMaskCodec')])
def test_made_up_content_for_measuring(options: dict) -> None:
    codec = MODELS.build(dict(type='PCAMaskCodec', mask_size=12, num_codes=60) | options)
    assume_dictionaries(torch.nn.ModuleList([codec]))
    assert codec.fitted
    masks, labels = torch.zeros(3, 12, 12), torch.tensor([0, 2, 1])
    masks[:, 2:9, 3:10] = 1
    decoded = codec.decode(codec.encode(masks, labels), labels)
    assert decoded.isfinite().all()
    if options.get('sigmoid') != 'none':
        assert ((decoded > 0) == masks.bool()).float().mean() > 0.9


def test_content_that_is_there_stays() -> None:
    codec, waiting = some_codec(), some_codec()
    codec.load_state_dict({key: torch.rand(value.shape) + 1 for key, value in codec.state_dict().items()})
    before = codec.mean.clone()
    assume_dictionaries(torch.nn.ModuleList([codec, waiting]))
    assert torch.equal(codec.mean, before)
    assert waiting.fitted


def test_a_checkpoint_brings_the_content() -> None:
    source, model = some_codec(), torch.nn.ModuleDict({'codec': some_codec()})
    source.assume()
    model.load_state_dict(model.state_dict())  # of a model that has none itself
    assert not model['codec'].fitted
    state = {f'codec.{key}': value for key, value in source.state_dict().items()}
    assert set(state) == {'codec.components', 'codec.mean', 'codec.explained_variance'}
    model.load_state_dict(state)
    masks = some_masks()
    assert torch.equal(model['codec'].encode(masks), source.encode(masks))


def test_the_number_of_codes_is_checked_first() -> None:
    for number in (0, SIZE**2 + 1):
        with pytest.raises(ValueError, match=f'PCAMaskCodec: num_codes is {number}; of 6 x 6 pixels there are 1 to 36'):
            PCAMaskCodec(mask_size=SIZE, num_codes=number)


def test_only_files_of_arrays_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / 'arrays.npz', a=np.arange(3), b=True)
    arrays = read_arrays(tmp_path / 'arrays.npz')
    assert arrays['a'].tolist() == [0, 1, 2]
    assert bool(arrays['b'])
    np.savez(tmp_path / 'objects.npz', a=np.array([{}]))  # would be unpickled
    with pytest.raises(ValueError, match=r'objects\.npz: no \.npz of arrays') as raised:
        read_arrays(tmp_path / 'objects.npz')
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    'header',
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}",
        "{'descr': [('a', '<f4', (99999999,))], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + '(' * 900 + '1,)}',
        '\0',
    ],
)
def test_damaged_files_of_arrays_are_refused(header: str, tmp_path: Path) -> None:
    head = header.encode().ljust(1013) + b'\n'
    with zipfile.ZipFile(tmp_path / 'a.npz', 'w') as archive:
        archive.writestr('a.npy', b'\x93NUMPY\1\0' + len(head).to_bytes(2, 'little') + head + bytes(16))
    with pytest.raises(ValueError, match=r'a\.npz: no \.npz of arrays'):
        read_arrays(tmp_path / 'a.npz')
    os.mkfifo(tmp_path / 'pipe.npz')
    with pytest.raises(ValueError, match='is no ordinary file'):
        read_arrays(tmp_path / 'pipe.npz')


def test_an_npz_that_unpacks_to_far_more_is_refused(tmp_path):
    np.savez_compressed(tmp_path / 'a.npz', a=np.zeros(10**6))
    with pytest.raises(ValueError, match='its arrays are far larger than the file'):
        read_arrays(tmp_path / 'a.npz')
