"""A take onto somebody's character: a GLB or VRM file with shapes and bones of its own."""
