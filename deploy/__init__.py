"""How it runs: the command line, the local supervisor, recipes."""
