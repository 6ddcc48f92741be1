"""The text of a config: quick with many classes, made once, and interrupted as anything else."""

import time
from pathlib import Path

import pytest
import yapf.yapflib.yapf_api
from mmengine.config import Config

from mmagg.engine.formatted_config import FormattedConfig

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(str(path.relative_to(ROOT / 'configs')) for path in (ROOT / 'configs').glob('[!_]*/*.py'))
NAMES = tuple(f'it\'s class "{number}", {word}' for number in range(401) for word in ('~0~0~', 'größer', 'a\nb\\'))


@pytest.fixture(scope='module')
def many() -> Config:
    """A config with 1203 classes, in four places."""
    cfg = Config.fromfile(ROOT / 'configs' / 'demo/aggmask_tiny_shapes.py')
    cfg.classes = list(NAMES)
    for split in ('train', 'val', 'test'):
        palette = [(number % 256, 0, 1) for number in range(len(NAMES))]
        cfg[f'{split}_dataloader'].dataset.metainfo = dict(classes=NAMES, palette=palette)
    return cfg


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=[pytest.mark.slow] * bool(number % 30)) for number, name in enumerate(CONFIGS)]
)
def test_the_text_of_a_shipped_config_is_read_back(name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    text = FormattedConfig.of(cfg).pretty_text
    assert Config.fromstring(text, '.py').to_dict() == cfg.to_dict()


def test_a_short_config_has_the_text_of_mmengine():
    cfg = Config.fromfile(ROOT / 'configs' / 'demo/aggmask_tiny_shapes.py')
    assert FormattedConfig.of(cfg).pretty_text == cfg.pretty_text


def test_braces_in_texts_are_no_variables(tmp_path):
    names = [
        '{{ fileDirname }}',
        '{{_base_.x}}',
        "{{$HOME:a}} 'b'",
        '{{{{fileBasename}}}}',
        '\\{{ fileExtname }}',
        '{',
        '}}',
    ]
    for classes in (names, names * 10):  # short ones by yapf, long ones beside it
        config = FormattedConfig.of(Config({'data': {'classes': tuple(classes), 'a b': {'root': names[0]}}}))
        config.dump(tmp_path / 'a.py')
        assert Config.fromfile(tmp_path / 'a.py').to_dict() == config.to_dict()


def test_1203_classes_take_a_second(many, tmp_path):
    start = time.process_time()
    FormattedConfig.of(many).dump(tmp_path / 'many.py')
    assert time.process_time() - start < 2  # 0.1 to 0.5 s; mmengine takes 4 to 15
    assert Config.fromfile(tmp_path / 'many.py').to_dict() == many.to_dict()


def format_by(function, monkeypatch):
    """Replace yapf's, which mmengine imports where it formats; up to 0.10.7 at the top."""
    for place in ('yapf.yapflib.yapf_api.FormatCode', 'mmengine.config.config.FormatCode'):
        monkeypatch.setattr(place, function, raising=False)


def test_it_is_made_once_and_anew_after_a_change(many, monkeypatch):
    cfg = FormattedConfig.of(Config(many.to_dict()))
    calls, form = [], yapf.yapflib.yapf_api.FormatCode
    format_by(lambda *args, **kwargs: (calls.append(1), form(*args, **kwargs))[1], monkeypatch)
    assert cfg.pretty_text is cfg.pretty_text
    assert len(calls) == 1
    cfg.train_cfg.max_epochs = 99
    assert 'max_epochs=99' in cfg.pretty_text
    assert len(calls) == 2


def test_an_interrupt_stays_one(many, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    format_by(interrupted, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        _ = FormattedConfig.of(Config(many.to_dict())).pretty_text
