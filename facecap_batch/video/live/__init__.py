"""Live sources: what may be recorded, and its packets on one clock in one file. Knows no faces."""
