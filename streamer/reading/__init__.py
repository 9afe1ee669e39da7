"""Reading samples: shard files, the node's cache, read-ahead and the gather of rows into batches."""
