"""A mixture: its text, its value, its versions and its exact shares."""
