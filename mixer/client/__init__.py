"""The typed client of the mixer service."""
