"""Attention-head analysis."""
