"""The files that a model is read from, over which nothing is to be written."""

from importlib import import_module
from pathlib import Path

from mmagg.apis.exported_options import is_exported

Named = str | Path | None


def model_files(config: Named, checkpoint: Named, weights: Named, *, trust: bool) -> list[Named]:
    """The config with those that it is based on, and the checkpoint; or the file of an exported model.

    Args:
        config: as of `Segmenter`, as the others.
        checkpoint: a .pth file or a URL.
        weights: a name, a file or a URL.
        trust: read a checkpoint that holds code, see `secure_loading`.

    Raises:
        InputError: the config cannot be read.
    """
    if config is not None and is_exported(config):
        return [config, checkpoint, weights]
    import_module('mmagg.apis.checkpoint').secure_loading(trust=trust)
    bases = import_module('mmagg.apis.config').base_files(config) if config else []
    return [config, *bases, checkpoint, import_module('mmagg.apis.named_weights').file_of(weights)]
