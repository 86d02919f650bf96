"""Tasks to Ray workers: attempts, deaths, limits. Knows nothing of clips."""
