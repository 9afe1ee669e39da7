"""From documents to samples: tokenizers, grouping and packing into rows of seq_len tokens."""
