"""The output folder as a database, and what its SQL may do."""
