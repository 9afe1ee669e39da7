"""Where raw files come from: folders, archives, git repositories and Parquet files, here or in object stores."""
