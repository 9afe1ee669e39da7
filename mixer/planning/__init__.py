"""From a ledger to batches."""
