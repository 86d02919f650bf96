"""What is fuzzed: a module for each kind of input, which holds its `TARGET`."""
