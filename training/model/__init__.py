"""The model that a phase trains, and its loss; the same for every trainer."""
