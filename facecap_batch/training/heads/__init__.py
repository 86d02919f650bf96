"""What is rendered: head meshes of two families, their shapes, and one meaning for both."""
