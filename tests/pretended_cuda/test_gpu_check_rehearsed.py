"""What tools/gpu_check.sh does with a model on a GPU, on the pretended one."""

import json
import subprocess
import sys
from pathlib import Path

from mmagg.costs.cuda_guard import guarded
from mmagg.costs.gpu_check import WAITS, in_words

HERE = Path(__file__).parent


def test_a_model_is_measured(root: Path) -> None:
    config = str(root / 'configs/demo/blendmask_tiny_shapes.py')
    options = {'config': config, 'device': 'cuda:0', 'shape': [64, 64], 'candidates': 20}
    command = [sys.executable, str(HERE / 'rehearsal.py'), json.dumps(options)]
    done = subprocess.run(command, env=guarded(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    report, counted = found['report'], found['counted']
    assert [report[part]['waits'] for part in ('predict', 'train')] == counted
    assert 0 < report['predict']['waits'] <= WAITS['boxed']
    assert 0 < report['train']['waits'] <= WAITS['train']
    for part in report.values():
        assert part['amp'] == {'fp16': True, 'bf16': True}
        assert part['places']
        assert 'fp16 finite, bf16 finite' in in_words(part)
