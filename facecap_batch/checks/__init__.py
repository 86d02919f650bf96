"""Do backends agree, and how fast are they."""
