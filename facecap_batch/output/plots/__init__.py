"""Plots of clips: of captured ones, and of those in an output folder."""
