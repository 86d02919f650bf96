"""Video files to upright frames with exact times. Knows nothing of faces."""
