"""What detectors do on the pretended CUDA device, in a process of its own.

Arguments are a file and the names of families; a line of JSON is written for each.
"""

import copy
import json
import math
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from device_checks import checked
from families import BOXED, GRID
from slim_configs import slim
from torch import Tensor

from mmagg.apis.config import load_config
from mmagg.costs.cuda_guard import enter_guarded
from mmagg.costs.launches import by_place, counting_parts, make_ready, prediction, training_step
from mmagg.costs.pretended_cuda import DEVICE, PretendedCUDA, pretended_cuda, values_of
from mmagg.costs.random_model import detector_of, random_batch
from mmagg.ops import rle_to_masks

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SHAPE = (128, 160)
IMAGES, OBJECTS = 2, 4
FEW, MANY = 12, 48  # candidates
SMALL_BUDGET = 2**18  # bytes of a chunk: few masks in each


def measured(name: str) -> dict[str, Any]:
    """All findings of a family."""
    config = str(CONFIGS / (GRID | BOXED)[name].config)
    cfg = load_config(config, None, reads={'model'}).model
    slim(cfg)
    found: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        model = detector_of(cfg, config)
    for part, measure in (('predict', predicted), ('train', trained)):
        found[part] = measure(copy.deepcopy(model))
    return found


def batch(device: Any, images: int) -> tuple[Tensor, list]:
    return random_batch(images, SHAPE, num_classes=5, objects=OBJECTS, device=device, seed=0)


def counts(cuda: PretendedCUDA) -> dict[str, Any]:
    return {'launches': cuda.num_launches, 'waits': cuda.num_waits, 'places': by_place(cuda.waits)}


def predicted(model: Any) -> dict[str, Any]:
    """Predictions: as on the CPU, counted, of many candidates in many chunks, and under autocast."""
    model.eval()
    found = {}
    for candidates in (FEW, MANY):
        one = copy.deepcopy(model)
        make_ready(one, SHAPE, wanted=candidates)
        with torch.no_grad():
            expected = one.predict(*batch('cpu', 1), rescale=True)[0].pred_instances
        with pretended_cuda() as cuda:
            one.to(DEVICE)
            inputs = batch(DEVICE, 1)
            result = prediction(one, *inputs)[0].pred_instances
            cuda.forget()
            neck = {'neck': 0}
            with counting_parts(one, cuda, neck):
                prediction(one, *inputs)
            differs = {'differs': differences(result, expected), 'found': len(expected)}
            found[candidates] = counts(cuda) | neck | differs
            if candidates == MANY:
                for part in one.modules():
                    for owner in filter(None, (part, getattr(part, 'post_process', None))):
                        if hasattr(owner, 'byte_budget'):
                            owner.byte_budget = SMALL_BUDGET
                cuda.forget()
                prediction(one, *inputs)
                found['chunks'] = counts(cuda)
            else:
                found['amp'] = {
                    amp: finite(prediction(one, *inputs, amp=amp)[0].pred_instances.scores) for amp in ('fp16', 'bf16')
                }
    return {'few': found[FEW], 'many': found[MANY], 'chunks': found['chunks'], 'amp': found['amp']}


def differences(result: Any, expected: Any) -> list[str]:
    """In what instances differ."""
    if len(result) != len(expected):
        return [f'{len(result)} instances, not {len(expected)}']
    found = []
    if not torch.equal(values_of(result.labels), expected.labels):
        found.append('labels')
    for name in ('scores', 'bboxes'):
        if not torch.allclose(values_of(result[name]), expected[name], rtol=1e-4, atol=1e-4):
            found.append(name)
    ours, theirs = (rle_to_masks(x.masks, *SHAPE).flatten(1) for x in (result, expected))
    iou = (ours & theirs).sum(1) / (ours | theirs).sum(1).clamp(min=1)
    if (iou < 0.999)[theirs.any(1)].any():
        found.append(f'masks: {iou.tolist()}')
    return found


def trained(model: Any) -> dict[str, Any]:
    """Training steps: as on the CPU, counted, under autocast, and deterministic."""
    model.train()
    make_ready(model, SHAPE)
    on_cpu = copy.deepcopy(model)
    expected = scalars(training_step(on_cpu, *batch('cpu', IMAGES)))
    found: dict[str, Any] = {'amp': {}}
    with pretended_cuda() as cuda:
        model.to(DEVICE)
        inputs = batch(DEVICE, IMAGES)
        cuda.forget()
        losses = scalars(training_step(model, *inputs))
        found |= counts(cuda) | {'losses': losses, 'expected': expected, 'gradients': gradient_error(model, on_cpu)}
        for amp in ('fp16', 'bf16'):
            torch.use_deterministic_algorithms(amp == 'bf16')
            try:
                losses = scalars(training_step(model, *inputs, amp=amp))
            finally:
                torch.use_deterministic_algorithms(False)
            found['amp'][amp] = all(map(math.isfinite, losses.values()))
    return found


def scalars(losses: dict[str, Any]) -> dict[str, float]:
    """Each loss as a number."""
    sums = {name: sum(x) if isinstance(x, list) else x for name, x in losses.items()}
    return {name: float(values_of(x.detach())) for name, x in sums.items()}


def gradient_error(model: Any, expected: Any) -> float:
    """The greatest error of a parameter's gradient, relative to its norm; to a share of the largest for small ones."""
    pairs = list(zip(model.parameters(), expected.parameters(), strict=True))
    assert all((ours.grad is None) == (theirs.grad is None) for ours, theirs in pairs)
    grads = [(values_of(ours.grad), theirs.grad) for ours, theirs in pairs if theirs.grad is not None]
    least = 1e-3 * max(float(theirs.norm()) for _, theirs in grads)
    return max(float((ours - theirs).norm()) / max(float(theirs.norm()), least) for ours, theirs in grads)


def finite(x: Tensor) -> bool:
    return bool(values_of(x).isfinite().all())


if __name__ == '__main__':
    enter_guarded()
    torch.set_num_threads(1)  # sums in another order change a pixel at the threshold
    torch.manual_seed(0)
    file, *names = sys.argv[1:]
    with open(file, 'w') as out:
        for name in names:
            try:
                found = {'family': name, **(checked() if name == 'device' else measured(name))}
            except Exception:
                found = {'family': name, 'error': traceback.format_exc()}
            print(json.dumps(found), file=out, flush=True)
