"""What watches a run: progress on the terminal, the event log, metrics."""
