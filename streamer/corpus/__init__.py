"""Files to scored streams: ingest, filter, deduplicate, hold out, score, pack and publish, as datatrove pipelines."""
