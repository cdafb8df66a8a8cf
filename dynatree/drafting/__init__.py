"""Drafters: which tokens to propose."""
