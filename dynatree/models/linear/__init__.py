"""Replacements for linear layers."""
