"""Exported files read back by readers that share no code with the writers."""
