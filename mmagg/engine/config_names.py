"""``mmagg::<path below configs>`` as the name of a config: in ``_base_``, ``mmengine.hub.get_config`` and commands."""

from mmengine.config.utils import MODULE2PACKAGE


def announce() -> None:
    """Add mmagg to mmengine's table of packages that bring configs.

    A base is read before the ``custom_imports`` of its config run, so this comes before a config is read.
    """
    MODULE2PACKAGE.setdefault('mmagg', 'mmagg')
