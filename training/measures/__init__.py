"""What a training run measures: progress, shares, losses per stream and the log of steps."""
