"""Whose an output folder is at the moment, and what in it is a run's to write and remove."""
