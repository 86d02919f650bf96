"""An output folder as a page to look at: every take, its video, its head and its curves."""
