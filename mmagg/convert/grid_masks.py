"""Checkpoints of the SOLO family and of AggMask, from mmdet and from their authors."""

from pathlib import Path

from mmagg.apis.checkpoint import load_checkpoint
from mmagg.convert.conversion import Converted, model_for, require_head, write_converted
from mmagg.convert.disagreements import disagreements, unseen
from mmagg.io.errors import InputError
from mmagg.models.heads import GridMaskHead
from mmagg.weights.key_maps import mmdet_to_mmagg, released_to_mmagg

ORIGINS = {'mmdet': mmdet_to_mmagg, 'authors': released_to_mmagg}


def convert_grid_masks(
    source: str | Path,
    target: str | Path,
    *,
    origin: str,
    config: str | Path,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> Converted:
    """Convert a checkpoint of SOLO, Decoupled SOLO (also Light), SOLOv2 or AggMask.

    Args:
        source: the checkpoint, a .pth file.
        target: the checkpoint to write; it is written only if all weights fit.
        origin: ``mmdet``, or ``authors`` for the code that SOLO's and AggMask's authors released.
        config: our config of the model.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Raises:
        InputError: a file or the config cannot be used; or the config is another model than the weights show, with a
            line for each difference that names the option that resolves it.
    """
    source, target = Path(source), Path(target)
    model = model_for(config, cfg_options, GridMaskHead, source=source, target=target, trust=trust_checkpoint)
    checkpoint = load_checkpoint(source)
    state = checkpoint['state_dict'] = ORIGINS[origin](checkpoint['state_dict'])
    require_head(state, 'mask_head.class_tower.', source)
    problems = disagreements(state, model)
    if problems:
        raise InputError(*problems)
    return write_converted(
        model,
        checkpoint,
        source=source,
        target=target,
        unseen=unseen(model.mask_head),
        below='model.mask_head',
        cfg_options=cfg_options,
    )
