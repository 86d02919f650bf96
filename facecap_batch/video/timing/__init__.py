"""When frames are shown: the packets of a stream on one clock, and the time of every decoded frame."""
