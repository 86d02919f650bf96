"""Frames to raw coefficients: detect, track, crop, regress. Knows no Ray and no folder."""
