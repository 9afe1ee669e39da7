"""The processes of one training: their ranks, and the signals that end them."""
