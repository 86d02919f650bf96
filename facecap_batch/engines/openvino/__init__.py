"""OpenVINO: networks compiled for this machine's CPU."""
