"""Gates: why a file is refused, by name and with what was measured."""
