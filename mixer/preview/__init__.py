"""What a mixture would give over a planned length."""
