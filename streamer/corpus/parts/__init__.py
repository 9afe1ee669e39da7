"""From spooled documents to published parts, and the report on them."""
