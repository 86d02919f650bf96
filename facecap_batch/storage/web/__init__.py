"""Files on web servers, and pages of ours for the browsers of this machine, by Python's standard library."""
