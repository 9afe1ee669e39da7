"""The command line's nouns that belong to streams, corpora, tokenizers and annotators."""
