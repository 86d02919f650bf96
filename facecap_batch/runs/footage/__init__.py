"""Footage by name: files, folders, globs, image sequences and URIs to clips with ids."""
