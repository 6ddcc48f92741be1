"""Principal components of masks: against the release's codes and masks, and the properties of a codec."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip('mmdet')
from golden_blendmask import assert_relative, bits

from mmagg.models.masks import DCTMaskCodec, PCAMaskCodec
from mmagg.models.masks.boxed.pca_codec import Dictionary

BUFFERS = ('components', 'mean', 'explained_variance')
CASES = ('pca_28_60_sigmoid', 'pca_14_16_sigmoid', 'pca_14_16_sigmoid_batched')
SIZE, NUMBER = 6, 5


def read_case(shared: Path, name: str) -> dict:
    return torch.load(shared / 'golden/meinst' / f'{name}.pt', weights_only=True)


def codec_of(case: dict, size: int, number: int, **options) -> PCAMaskCodec:
    codec = PCAMaskCodec(mask_size=size, num_codes=number, **options)
    codec.load_state_dict({name: case[name] for name in BUFFERS})
    return codec


def some_dictionary(classes: int = 1, number: int = NUMBER, size: int = SIZE) -> Dictionary:
    """Orthonormal rows, falling variances."""
    components = torch.linalg.qr(torch.randn(classes, size**2, size**2)).Q[:, :number]
    variance = torch.arange(number, 0, -1).float().expand(classes, -1) / 2
    return Dictionary(components, torch.randn(classes, size**2), variance, variance / 100)


def some_codec(**options) -> PCAMaskCodec:
    codec = PCAMaskCodec(mask_size=SIZE, num_codes=NUMBER, **options)
    codec.take(some_dictionary(options.get('num_classes', 1))._replace(sigmoid=codec.sigmoid != 'none'))
    return codec


def some_masks(number: int = 7) -> Tensor:
    return (torch.rand(number, SIZE, SIZE) < 0.5).to(torch.uint8)


# Against the release


@pytest.mark.parametrize('name', CASES)
def test_codes_and_masks_are_the_release_s(shared, name: str) -> None:
    case = read_case(shared, name)
    size, number = case['size_dim'].tolist()
    codec = codec_of(case, size, number, sigmoid='random')
    masks = bits(case['test_bits'], size)
    torch.manual_seed(7)
    assert_relative(codec.encode(masks), case['code'], 2e-5)
    noise = case['noise_head']
    assert_relative(codec.encode(masks[: len(noise)], noise=noise), case['code'][: len(noise)], 2e-5)

    logits = codec.decode(case['code'])
    head = len(case['raw_head'])
    assert_relative(logits[:head].flatten(1), case['raw_head'], 2e-5)
    assert (logits[:head].flatten(1).sigmoid() - case['recon_head']).abs().max() <= 1e-4
    assert torch.equal((logits >= 0).byte(), bits(case['recon_bits'], size))


@pytest.mark.parametrize('name', ['meinst_losses_mse', 'meinst_head_e2e'])
def test_targets_are_encoded_as_in_the_release(shared, name: str) -> None:
    case = read_case(shared, name)
    if name == 'meinst_head_e2e':
        prefix = 'sd.proposal_generator.mask_encoding.'
        keys = ('components', 'means', 'explained_variances')
        case |= {ours: case[prefix + theirs] for ours, theirs in zip(BUFFERS, keys, strict=True)}
    codec = codec_of(case, 14, 16, sigmoid='random')
    masks = case['masks' if 'masks' in case else 'mask_targets'].unflatten(1, (14, 14))
    codes = codec.encode(masks, noise=case['noise'])
    if 'mask_code' in case:
        assert_relative(codes, case['mask_code'], 2e-5)
    eps = (0.05 * case['noise'].double()).clamp(min=0.01)
    z = torch.where(masks.flatten(1) > 0, 1 - eps, eps).logit()
    want = (z - case['mean']) @ case['components'].t().double() / case['explained_variance'].double().sqrt()
    assert_relative(codes, want.float(), 2e-5)


# Properties


@pytest.mark.parametrize('whiten', [True, False])
@pytest.mark.parametrize('sigmoid', ['constant', 'random', 'none'])
def test_all_components_lose_nothing(sigmoid: str, whiten: bool) -> None:
    codec = PCAMaskCodec(mask_size=SIZE, num_codes=SIZE**2, sigmoid=sigmoid, whiten=whiten)
    codec.take(some_dictionary(number=SIZE**2)._replace(sigmoid=sigmoid != 'none'))
    masks = some_masks()
    assert torch.equal(codec.decode(codec.encode(masks)) > 0, masks.bool())


def test_only_whitening_divides_by_the_deviation() -> None:
    white = some_codec()
    plain = PCAMaskCodec(mask_size=SIZE, num_codes=NUMBER, whiten=False)
    plain.load_state_dict(white.state_dict())
    masks, deviation = some_masks(), white.explained_variance.sqrt()
    torch.testing.assert_close(plain.encode(masks), white.encode(masks) * deviation)
    codes = torch.randn(3, NUMBER)
    torch.testing.assert_close(plain.decode(codes * deviation), white.decode(codes))


def test_without_sigmoid_the_output_is_a_clamped_probability() -> None:
    codec = some_codec(sigmoid='none')
    codes = torch.randn(9, NUMBER)
    want = codes * codec.explained_variance.sqrt() @ codec.components + codec.mean
    torch.testing.assert_close(codec.decode(codes).sigmoid().flatten(1), want.clamp(1e-4, 1 - 1e-4))
    masks = some_masks()
    centred = masks.flatten(1).float() - codec.mean
    torch.testing.assert_close(codec.encode(masks), centred @ codec.components.t() / codec.explained_variance.sqrt())


def test_each_class_has_its_dictionary() -> None:
    codec = some_codec(num_classes=3)
    masks, labels, codes = some_masks(8), torch.tensor([2, 0, 1, 1, 0, 2, 2, 1]), torch.randn(8, NUMBER)
    own = []
    for label in range(3):
        own.append(PCAMaskCodec(mask_size=SIZE, num_codes=NUMBER))
        own[-1].load_state_dict({name: getattr(codec, name)[label] for name in BUFFERS})
    want = [own[label].encode(masks[i : i + 1])[0] for i, label in enumerate(labels.tolist())]
    torch.testing.assert_close(codec.encode(masks, labels), torch.stack(want))
    want = [own[label].decode(codes[i : i + 1])[0] for i, label in enumerate(labels.tolist())]
    torch.testing.assert_close(codec.decode(codes, labels), torch.stack(want))
    with pytest.raises(ValueError, match='needs the labels'):
        codec.encode(masks)


@pytest.mark.parametrize('classes', [None, 3])
def test_no_masks(classes: int | None) -> None:
    codec, labels = some_codec(**({} if classes is None else dict(num_classes=3))), torch.zeros(0, dtype=torch.long)
    assert codec.encode(some_masks(0), labels).shape == (0, NUMBER)
    assert codec.decode(torch.zeros(0, NUMBER), labels).shape == (0, SIZE, SIZE)


def test_types_of_masks_and_half_precision_change_nothing() -> None:
    codec, masks, codes = some_codec(), some_masks(), torch.randn(4, NUMBER).bfloat16()
    want, want_masks = codec.encode(masks), codec.decode(codes.float())
    for kind in (torch.bool, torch.uint8, torch.float, torch.bfloat16):
        assert torch.equal(codec.encode(masks.to(kind)), want)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(codec.encode(masks), want)
        assert torch.equal(codec.decode(codes), want_masks)


def test_gradients_reach_the_codes_alone() -> None:
    codec, codes = some_codec(), torch.randn(2, NUMBER, requires_grad=True)
    codec.decode(codes).square().sum().backward()
    assert codes.grad.abs().min() > 0
    assert not list(codec.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize('classes', [None, 3])
def test_on_cuda_without_waiting_for_it(classes: int | None) -> None:
    codec = some_codec(**({} if classes is None else dict(num_classes=3)))
    masks, labels = some_masks(), torch.arange(7) % 3
    want = codec.encode(masks, labels)
    want_masks = codec.decode(want, labels)
    codec, masks, labels = codec.cuda(), masks.cuda(), labels.cuda()
    torch.cuda.set_sync_debug_mode('error')
    try:
        codes = codec.encode(masks, labels)
        decoded = codec.decode(codes, labels)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    torch.testing.assert_close(codes.cpu(), want, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(decoded.cpu(), want_masks, rtol=1e-3, atol=1e-3)


# Content: dictionaries and checkpoints


def test_reads_the_release_s_file_and_its_first_components(tmp_path: Path) -> None:
    shapes = {'components_c': (1, 60, 784), 'mean_c': (1, 784), 'ratio_c': (1, 60), 'explained_variance_c': (1, 60)}
    arrays = {key: np.random.default_rng(0).random(shape, dtype=np.float32) for key, shape in shapes.items()}
    np.savez(tmp_path / 'release.npz', **arrays)
    for number in (60, 20):
        codec = PCAMaskCodec(num_codes=number, dictionary=str(tmp_path / 'release.npz'))
        assert codec.fitted
        assert np.array_equal(codec.components, arrays['components_c'][0, :number])
        assert np.array_equal(codec.mean, arrays['mean_c'][0])
        assert np.array_equal(codec.explained_variance, arrays['explained_variance_c'][0, :number])

    Dictionary.read(tmp_path / 'release.npz').write(tmp_path / 'again.npz')
    with np.load(tmp_path / 'again.npz') as again:
        assert {key: again[key].dtype for key in arrays} == dict.fromkeys(arrays, np.float32)
        assert all(np.array_equal(again[key], arrays[key]) for key in arrays)


def test_a_dictionary_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    some_dictionary().write(tmp_path / 'good.npz')
    some_dictionary()._replace(sigmoid=False).write(tmp_path / 'masks.npz')
    some_dictionary()._replace(mean=torch.zeros(1, 3)).write(tmp_path / 'mixed.npz')
    some_dictionary()._replace(explained_variance=torch.zeros(1, NUMBER)).write(tmp_path / 'flat.npz')
    np.savez(tmp_path / 'other.npz', a=1)
    np.save(tmp_path / 'array.npy', np.zeros(3))
    (tmp_path / 'text.npz').write_text('text')
    (tmp_path / 'empty.npz').touch()
    (tmp_path / 'torn.npz').write_bytes((tmp_path / 'good.npz').read_bytes()[:500])
    for name, options, message in (
        ('good.npz', dict(mask_size=5), '5 components of 36 pixels for 1 classes; wanted are 5 of 5²'),
        ('good.npz', dict(num_codes=6), 'wanted are 6 of'),
        ('good.npz', dict(num_classes=2), 'wanted are 5 of 6² = 36 for 2'),
        ('good.npz', dict(sigmoid='none'), "describes logits, which sigmoid='none' does not fit"),
        ('masks.npz', {}, "describes masks, which sigmoid='constant' does not fit"),
        ('mixed.npz', {}, 'arrays do not fit together'),
        ('flat.npz', {}, 'without variance'),
        ('other.npz', {}, 'no dictionary of a linear mask code'),
        ('array.npy', {}, 'no .npz of arrays'),
        ('text.npz', {}, 'no .npz of arrays'),
        ('empty.npz', {}, 'no .npz of arrays'),
        ('torn.npz', {}, 'no .npz of arrays'),
    ):
        options = dict(mask_size=SIZE, num_codes=NUMBER, dictionary=tmp_path / name) | options
        with pytest.raises(ValueError, match=message) as raised:
            PCAMaskCodec(**options)
        assert name in str(raised.value)
        assert '\n' not in str(raised.value)


def test_wrong_switches_are_named() -> None:
    for options, message in (
        (dict(sigmoid='yes'), "sigmoid is 'yes'"),
        (dict(num_codes=785), 'num_codes is 785; of 28 x 28 pixels there are 1 to 784'),
        (dict(num_codes=0), 'num_codes is 0'),
    ):
        with pytest.raises(ValueError, match=message):
            PCAMaskCodec(**options)
    assert DCTMaskCodec(num_codes=784).fitted
