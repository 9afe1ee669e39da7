"""What a text must not show: secrets, e-mail addresses and IP addresses, and what stands in their place."""
