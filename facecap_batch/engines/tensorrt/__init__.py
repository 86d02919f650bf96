"""The TensorRT backend: graph, build, plans."""
