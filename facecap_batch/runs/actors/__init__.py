"""Clips of one actor: which share a calibration, how it is measured, when they are solved."""
