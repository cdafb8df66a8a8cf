"""Subcommands of ``dynatree`` with more than one step."""
