"""`phasemix quickstart`: from a folder of source files to exact batches, a short training and the dashboard."""
