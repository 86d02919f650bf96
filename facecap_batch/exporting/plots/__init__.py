"""Curves over time as pictures. Needs matplotlib, which only `figure` and `file` import."""
