"""Others' networks become engines."""
