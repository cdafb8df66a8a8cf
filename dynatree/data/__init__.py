"""Checkpoints, texts and prompts."""
