"""Rigs: the channels that another face is moved by, each a sum of ours."""
