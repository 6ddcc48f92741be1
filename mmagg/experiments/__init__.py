"""Experiments of the papers: mask voting, boxes to masks, fitting a mask codec, comparing trainings."""
