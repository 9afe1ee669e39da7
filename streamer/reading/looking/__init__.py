"""What people look at: documents with their text, and how documents score."""
