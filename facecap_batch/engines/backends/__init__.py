"""What runs an engine: one file per backend."""
