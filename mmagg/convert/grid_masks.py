"""Checkpoints of the SOLO family and of AggMask, from mmdet and from their authors."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from mmagg.apis.checkpoint import load_checkpoint
from mmagg.convert.conversion import Converted, build_model, note_unseen, prepare, require_head, write_converted
from mmagg.convert.disagreements import disagreements, unseen
from mmagg.convert.key_maps import mmdet_to_mmagg, released_to_mmagg
from mmagg.models.heads import GridMaskHead


def convert_mmdet(
    source: str | Path,
    target: str | Path,
    *,
    config: str | Path,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> Converted:
    """Convert a checkpoint of mmdet's SOLO, Decoupled SOLO (also Light) or SOLOv2.

    Args:
        source: the checkpoint, a .pth file.
        target: the checkpoint to write; it is written only if all weights fit.
        config: our config of the model.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Raises:
        InputError: a file or the config cannot be used; or the config is another model than the weights show, with a
            line for each difference that names the option that it takes.
    """
    return _convert(
        mmdet_to_mmagg, Path(source), Path(target), config=config, cfg_options=cfg_options, trust=trust_checkpoint
    )


def convert_aggmask(
    source: str | Path,
    target: str | Path,
    *,
    config: str | Path,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> Converted:
    """Convert a checkpoint of the AggMask release, or of the SOLO authors' SOLO, Decoupled SOLO or SOLOv2.

    Arguments, result and errors are those of `convert_mmdet`.
    """
    return _convert(
        released_to_mmagg, Path(source), Path(target), config=config, cfg_options=cfg_options, trust=trust_checkpoint
    )


def _convert(
    to_mmagg: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    source: Path,
    target: Path,
    *,
    config: str | Path,
    cfg_options: dict | None,
    trust: bool,
) -> Converted:
    """Convert a checkpoint whose keys ``to_mmagg`` renames into those of a `GridMaskHead`."""
    cfg = prepare(source, target, config=config, cfg_options=cfg_options, trust=trust)
    checkpoint = load_checkpoint(source)
    state = checkpoint['state_dict'] = to_mmagg(checkpoint['state_dict'])
    require_head(state, 'mask_head.class_tower.', source)
    model = build_model(cfg, config, GridMaskHead)
    return write_converted(
        model,
        checkpoint,
        source=source,
        target=target,
        problems=disagreements(state, model),
        notes=note_unseen(unseen(model.mask_head), below='model.mask_head'),
        cfg_options=cfg_options,
    )
