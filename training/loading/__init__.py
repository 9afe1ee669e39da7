"""The loader: a run's batches as a torch DataLoader that knows its position."""
