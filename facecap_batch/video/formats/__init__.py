"""Files as such: what FFmpeg may open and how large, what a file is that is no video, which are whole."""
