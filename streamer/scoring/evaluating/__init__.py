"""Annotators judged on benchmarks: figures, curves and histograms."""
