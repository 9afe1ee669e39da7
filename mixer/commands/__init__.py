"""The command line's nouns that belong to mixtures and runs."""
