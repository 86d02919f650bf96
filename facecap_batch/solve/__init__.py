"""Raw coefficients of a whole clip to final ones: gaps, jitter, amplitude, eyelids. Knows no images."""
