"""Drafters that need no model, one file each with its source, behind one interface."""
