"""Random numbers by where they are drawn, not by what was drawn before.

Whoever begins with the numbers of a key, such as a seed and an iteration, gets the same ones in a training that runs
through and in one that is resumed.
"""

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

SAMPLE, ORDER, MODEL = range(3)  # what numbers are for: the first entry of their keys


def seed_all(*key: int) -> None:
    """Let Python, NumPy and PyTorch, on CPU and GPU, begin with the numbers of ``key``, integers from 0."""
    python, numpy, high, low = np.random.SeedSequence(key).generate_state(4).tolist()
    random.seed(python)
    np.random.seed(numpy)
    # Not by torch.manual_seed, which takes a tenth of a millisecond on a machine without a GPU.
    torch.default_generator.manual_seed(high << 32 | low)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(high << 32 | low)


class RandomNumbersHook(Hook):
    """Each iteration begins with the random numbers of the seed, the process's rank and the iteration's number.

    So those that a model draws, as in sampling boxes and in dropout, are the same in a resumed training, whatever was
    drawn between iterations. The config's seed holds, also where it is not the checkpoint's.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Before mmengine goes over to the checkpoint's seed: samples have the config's already."""
        asked = (runner.cfg.get('randomness') or {}).get('seed')
        saved = checkpoint['meta'].get('seed') if runner._resume else None
        if asked is not None and saved is not None and asked != saved:
            runner.logger.info(f"the seed is {asked}, not the checkpoint's {saved}: other random numbers from here")
            checkpoint['meta']['seed'] = asked

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin, for what other hooks draw."""
        seed_all(MODEL, runner.seed, get_rank(), runner.iter)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Begin."""
        seed_all(MODEL, runner.seed, get_rank(), runner.iter)
