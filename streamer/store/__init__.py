"""The store: numbered, immutable objects written by put-if-absent, and the logs made of them."""
