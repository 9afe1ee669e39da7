"""What is measured: each script prints a table (or JSON with --json) and fails below its target."""
