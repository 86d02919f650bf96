"""Training of our own engines on rendered people only."""
