"""Scores of whole streams by annotators, and the tiers that documents are ranked into."""
