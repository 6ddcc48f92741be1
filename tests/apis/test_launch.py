from threading import Event

import pytest
from mmengine.config import Config

from mmagg.apis import launch
from mmagg.io.errors import InputError

PRODUCTS = 'CUBLAS_WORKSPACE_CONFIG'
SLURM = {'SLURM_PROCID': '1', 'SLURM_NTASKS': '2', 'SLURM_LOCALID': '1', 'SLURM_NODELIST': 'node[1-2]'}


@pytest.fixture
def started(monkeypatch) -> dict:
    """Stands in for the process group; gives the environment it would have been started from."""
    seen = {}

    def start(backend: str) -> None:
        seen.update(launch.os.environ, backend=backend)

    monkeypatch.setattr(launch.torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(launch.distributed, 'init_process_group', start)
    monkeypatch.setattr(launch, 'barrier', lambda: None)
    monkeypatch.setattr(launch, '_gloo', Event())
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT', PRODUCTS):
        monkeypatch.setenv(name, '')  # so that it is restored
        monkeypatch.delenv(name)
    return seen


def test_without_a_launcher_nothing_starts(started: dict) -> None:
    cfg = Config({})
    launch.start_processes(cfg, 'none')
    assert not started
    assert cfg.launcher == 'none'
    assert launch.is_main('none')


def test_deterministic_products_are_allowed(started: dict, monkeypatch) -> None:
    launch.start_processes(Config({'randomness': {'seed': 0}}), 'none')
    assert PRODUCTS not in launch.os.environ
    cfg = Config({'randomness': {'deterministic': True}})
    launch.start_processes(cfg, 'none')
    assert launch.os.environ[PRODUCTS] == ':4096:8'
    monkeypatch.setenv(PRODUCTS, ':16:8')
    launch.start_processes(cfg, 'none')
    assert launch.os.environ[PRODUCTS] == ':16:8'


def test_slurm_on_cpus(started: dict, monkeypatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launch, '_first_slurm_host', lambda: 'node1')
    cfg = Config({'find_unused_parameters': True})
    launch.start_processes(cfg, 'slurm')
    expected = {'backend': 'gloo', 'RANK': '1', 'WORLD_SIZE': '2', 'LOCAL_RANK': '1', 'MASTER_ADDR': 'node1'}
    assert expected.items() <= started.items()
    assert cfg.model_wrapper_cfg.device_ids is None
    assert cfg.model_wrapper_cfg.find_unused_parameters
    assert not launch.is_main('slurm')


@pytest.mark.parametrize('name', ['pytorch', 'slurm', 'mpi'])
def test_a_launcher_by_hand_is_explained(started: dict, name: str, monkeypatch) -> None:
    for variable in launch.VARIABLES[name]:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(InputError, match=r'is not set; start with tools/dist_train\.sh'):
        launch.start_processes(Config({}), name)


def test_a_process_that_gloo_served_does_not_take_python_down(started: dict, monkeypatch) -> None:
    codes = []
    monkeypatch.setattr(launch.os, '_exit', codes.append)
    launch.leave(2)
    assert not codes
    for name, value in zip(launch.VARIABLES['pytorch'], '010', strict=True):
        monkeypatch.setenv(name, value)
    launch.start_processes(Config({}), 'pytorch')
    launch.leave(3)
    assert codes == [3]
