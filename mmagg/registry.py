"""The registries of the scope ``mmagg``; mmengine imports this module when it meets the scope.

What a config takes from a base called ``mmagg::…`` is marked with that scope, and is looked up here first. Everything
is registered with mmdet's registries, the parents of these, which are asked next.
"""

import mmdet.registry
from mmengine.registry import Registry

REGISTRIES = tuple(
    Registry(parent.name, parent=parent, scope='mmagg', locations=['mmagg.register'])
    for parent in vars(mmdet.registry).values()
    if isinstance(parent, Registry) and parent.scope == 'mmdet'
)
