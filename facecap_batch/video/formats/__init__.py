"""Files as such: which formats are footage, what a file is that is none, and whether one is whole."""
