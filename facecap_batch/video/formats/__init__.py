"""Files as such: what FFmpeg may open, what a file is that is no video, and whether one is whole."""
