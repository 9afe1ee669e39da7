"""What to do next: the overview of a root, the command after a command, and what must be mended on this machine."""
