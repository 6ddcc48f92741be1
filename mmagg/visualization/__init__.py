"""Drawing: canvases, overlays, sheets, curves."""
