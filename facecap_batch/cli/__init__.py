"""The command line: commands that read options, call one function and print its result."""
