"""Distillation of the embedded draft from its target."""
