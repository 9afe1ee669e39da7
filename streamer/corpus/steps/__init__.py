"""The steps of the first stages of a build: read and filter, what the root has already, deduplicate."""
