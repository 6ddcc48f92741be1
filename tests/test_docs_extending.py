"""Parts of one's own, as docs/extending.md prints their files and configs, train and predict."""

import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from test_configs import sample, slim

from mmagg.apis.config import load_config

PAGE = (Path(__file__).resolve().parents[1] / 'docs/extending.md').read_text()
FILES = dict(re.findall(r'^```python title="(my_\w+\.py)"\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE))
CONFIGS = [name for name, text in FILES.items() if text.startswith('_base_')]
SIZE = 96


@pytest.mark.parametrize('config', CONFIGS)
def test_a_part_of_ones_own_trains_and_predicts(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    cfg = load_config(tmp_path / config)
    slim(cfg.model)
    model = MODELS.build(cfg.model)
    images, samples = torch.randn(2, 3, SIZE, SIZE), [sample(SIZE), sample(SIZE)]
    loss, _ = model.parse_losses(model.train()(images, samples, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused, f'DistributedDataParallel would wait for {unused}'
    with torch.no_grad():
        assert len(model.eval()(images, samples, mode='predict')) == 2


def test_a_codec_of_ones_own_gives_masks_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'my_codec.py').write_text(FILES['my_codec.py'])
    monkeypatch.syspath_prepend(tmp_path)
    import my_codec

    masks = torch.zeros(1, 28, 28)
    masks[:, 7:21, 7:21] = 1
    codec = my_codec.SmallMaskCodec()
    assert ((codec.decode(codec.encode(masks)) > 0) == masks.bool()).float().mean() > 0.95
