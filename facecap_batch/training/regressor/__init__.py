"""Training of the regressor."""
