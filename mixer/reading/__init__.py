"""Batches by position, and the way back from documents to positions."""
