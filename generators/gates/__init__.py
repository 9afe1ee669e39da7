"""Gates that accept or reject synthetic files."""
