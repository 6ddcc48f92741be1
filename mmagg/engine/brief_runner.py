"""A Runner that begins in few lines on the console, and refuses a model that cannot be built in one."""

from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from mmagg.engine.log_lines import brief_console
from mmagg.io.errors import building


class BriefRunner(Runner):
    """mmengine's Runner, whose messages are those of the commands."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, see `brief_console`."""
        return brief_console(super().build_logger(*args, **kwargs))

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model.

        Raises:
            InputError: that is impossible.
        """
        with building():
            return super().build_model(model)
