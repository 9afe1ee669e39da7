"""Where raw files come from: folders, archives and Parquet files."""
