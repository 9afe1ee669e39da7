"""How alike two files are, for whoever asks: the corpus, and the files that are synthesised for it."""
