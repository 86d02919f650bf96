"""Exports that are tables of numbers: our own columns, and those that OpenFace's readers expect."""
