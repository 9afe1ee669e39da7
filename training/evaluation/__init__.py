"""How good a checkpoint is, measured on what it never saw."""
