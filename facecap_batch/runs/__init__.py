"""What to run, what is done of it, and the driver that sees it through."""
