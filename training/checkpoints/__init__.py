"""Checkpoints of a training: where they lie, and which of them may be loaded."""
