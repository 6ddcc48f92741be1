"""Trainings that are resumed within an epoch, from a checkpoint by iterations."""

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmagg.engine.seeded_samples import SeededSampler


class RestOfEpochHook(Hook):
    """Leaves out the batches of the resumed epoch that the checkpoint has had; mmengine would begin the epoch again.

    If epochs have another length now, as with other data, the epoch begins again.
    """

    priority = 'LOW'  # after the sampler knows the epoch
    had = 0  # batches

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Count them."""
        if not runner._resume or not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        length, meta = len(runner.train_dataloader), checkpoint['meta']
        before = checkpoint.get('message_hub', {}).get('runtime_info', {})
        if before.get('max_iters') == length * before.get('max_epochs', 0):
            self.had = meta['iter'] - meta['epoch'] * length

    def before_train_epoch(self, runner: Runner) -> None:
        """Leave them out, in the first epoch."""
        batches = runner.train_dataloader.batch_sampler
        sampler = getattr(batches, 'sampler', None)
        if self.had > 0 and isinstance(sampler, SeededSampler):
            sampler.leave_out([index for batch in list(batches)[: self.had] for index in batch])
        self.had = 0
