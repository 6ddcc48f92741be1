"""Masks of grid cells: SOLO, Decoupled SOLO, SOLOv2, AggMask."""
