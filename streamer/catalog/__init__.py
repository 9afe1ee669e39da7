"""The catalog: streams, their parts and sidecars, names, snapshots and growth."""
