"""What the log of a run says."""
