"""Masks in the frames of boxes: BlendMask, MEInst."""
