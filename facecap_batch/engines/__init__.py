"""Networks ready to run: cards, sets, backends. Knows nothing of video, faces in time, or Ray."""
