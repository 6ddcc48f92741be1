"""mmagg: SOLO, AggMask, A²-FPN, BlendMask and MEInst for MMDetection 3.

Importing this package imports nothing else, so that `mmagg.ops` works where there is only PyTorch. Configs name
`mmagg.register`, which adds every component to mmdet's registries.
"""

__version__ = '0.1.0'
