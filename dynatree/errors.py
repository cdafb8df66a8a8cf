"""The one exception that tells a user what to do."""


class DynatreeError(ValueError):
    """A mistake the user can mend: the message says what is wrong, where, and how to fix it."""
