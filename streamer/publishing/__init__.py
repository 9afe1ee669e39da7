"""Publishing a user's own files as parts of a stream."""
