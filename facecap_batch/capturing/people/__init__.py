"""Everyone in the picture: faces told apart by their looks, shots, and which tracks are one person."""
