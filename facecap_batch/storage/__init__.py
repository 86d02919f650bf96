"""Files and folders, local or behind a URI: published whole or not at all. Knows nothing of clips."""
