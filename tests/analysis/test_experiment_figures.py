"""Figures and tables of the experiments over settings."""
