"""Files on web servers, asked for by Python's standard library."""
