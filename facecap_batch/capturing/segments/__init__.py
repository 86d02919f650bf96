"""Segments of a clip: where it is cut, the capture of one piece, and the join of all."""
