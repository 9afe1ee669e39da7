"""Judges: a model labels files by a rubric."""
