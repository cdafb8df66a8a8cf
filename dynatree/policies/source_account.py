"""Tokens that a source earns and the host time that it takes."""

from dynatree.policies.host_costs import DecayedMean

ACCOUNT_DECAY = 0.98  # factor on the earlier rounds of a source at each new one
CREDIT = 1.0  # tokens that a source is credited with at the start of a trial


class SourceAccount:
    """The recent yield of a source of proposals, with decaying weights.

    A source starts with a credit of tokens. It pays while its tokens exceed the tokens that its host time costs. A slow
    source that earns nothing therefore loses the time of ``CREDIT`` tokens before it is left out.
    """

    def __init__(self) -> None:
        self._tokens = CREDIT
        self._seconds = 0.0
        self._round_seconds = DecayedMean()

    def pays(self, rate: float) -> bool:
        """Return True if the source earns more tokens than its host time costs at ``rate`` tokens per second."""
        return self._tokens > rate * self._seconds

    def start_trial(self) -> None:
        """Start anew with a credit."""
        self._tokens, self._seconds = CREDIT, 0.0

    def observe(self, tokens: float, seconds: float) -> None:
        """Record a round in which the source was used.

        Args:
            tokens: emitted tokens that the source proposed, divided by the number of sources that proposed each.
            seconds: host time of the source.
        """
        self._tokens = self._tokens * ACCOUNT_DECAY + tokens
        self._seconds = self._seconds * ACCOUNT_DECAY + self._round_seconds.observe(seconds)
