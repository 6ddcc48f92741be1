"""Synchronised batch normalisation where there is nothing to synchronise it with."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import distributed, nn

from mmagg.engine.training_runner import TrainingRunner
from mmagg.models.layers import ProtoNet


class Model(BaseModel):
    """A ProtoNet; its data come as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = ProtoNet(in_channels=6, channels=4)

    def forward(self, feats: list[torch.Tensor], **_: str) -> torch.Tensor:
        return self.basis(feats)


@pytest.fixture
def gloo(tmp_path):
    distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures('gloo')
def test_is_plain_on_cpus(monkeypatch) -> None:
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr('mmengine.runner.runner.get_device', lambda: 'cpu')
    monkeypatch.setattr('mmagg.engine.training_runner.get_device', lambda: 'cpu')
    model, feats = Model().train(), [torch.randn(2, 6, s, s) for s in (8, 4, 2)]
    before = model.state_dict().keys()
    with pytest.raises(ValueError, match='SyncBatchNorm expected input tensor to be on GPU'):
        model(feats)
    runner = TrainingRunner.__new__(TrainingRunner)
    runner._distributed, runner.cfg = True, Config()
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None)
    wrapped = runner.wrap_model(wrapper, model)
    assert wrapped.module.state_dict().keys() == before
    wrapped(feats).square().mean().backward()
    assert all(p.grad is not None for p in wrapped.parameters())
    assert not [x for x in wrapped.modules() if isinstance(x, nn.SyncBatchNorm)]
