"""Figures and pages from a finished run folder. Needs no model and no torch."""
