"""The exception for mistakes of a user."""


class DynatreeError(ValueError):
    """A mistake that the user can correct. The message says what is wrong, where, and how to fix it."""
