"""Scores of documents: annotators, the student model and quality bins."""
