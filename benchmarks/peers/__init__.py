"""phasemix beside the loaders that people use today, on the same mixing work.

Run it in an environment with the extra `peers` (`make peers` does both).
"""
