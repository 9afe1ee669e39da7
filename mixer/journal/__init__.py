"""Who writes the log of a run and hands out its segments."""
