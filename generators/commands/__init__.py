"""The command line's noun that belongs to the generator pool."""
