"""What a machine with a GPU can do, found out in minutes: `jobs/gpu_day.py`."""
