"""The Composer trainer. No other folder knows Composer."""
