"""The routes, a file a noun: each answers requests with what the library says."""
