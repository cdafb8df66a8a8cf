"""Policies: which nodes to draft."""
