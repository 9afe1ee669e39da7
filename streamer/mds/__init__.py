"""The MDS format on disk: shards, compression, and the indexes that list them."""
