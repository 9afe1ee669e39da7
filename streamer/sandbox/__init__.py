"""Runs programs that nobody trusts, and tells how they ended."""
