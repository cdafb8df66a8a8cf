"""Replay of recorded outputs: how many tokens per round a drafter brings, without a model."""
