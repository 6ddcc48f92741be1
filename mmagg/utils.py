"""For `mmengine.hub.get_model('mmagg::…')`, which looks for this name. Nothing else belongs here."""

from importlib import import_module


def register_all_modules() -> None:
    """Register every component of mmagg, see `mmagg.register`."""
    import_module('mmagg.register')
