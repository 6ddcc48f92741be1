"""The model that a runner trains or tests, as its config builds it."""

from mmengine.model import BaseModel, is_model_wrapper
from mmengine.runner import Runner


def bare_model(runner: Runner) -> BaseModel:
    """The runner's model without the wrapper of distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
