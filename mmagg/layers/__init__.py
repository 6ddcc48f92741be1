"""Layers that heads and necks are built from."""

from .conv_tower import ConvTower

__all__ = ['ConvTower']
