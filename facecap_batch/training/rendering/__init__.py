"""Pictures of people with exact labels."""
