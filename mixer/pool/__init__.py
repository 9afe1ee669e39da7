"""What the generator pool reports about itself."""
