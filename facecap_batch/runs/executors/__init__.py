"""What carries a run out: one worker process of this machine, or Ray."""
