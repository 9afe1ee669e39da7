"""Exact integer arithmetic of the order of samples. Pure: no input or output."""
