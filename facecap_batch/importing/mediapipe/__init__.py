"""MediaPipe's task bundle becomes an engine set."""
