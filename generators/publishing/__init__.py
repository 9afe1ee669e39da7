"""From accepted files to published parts, exactly once."""
