"""Kinds and windows of heads at their limits."""

import pytest

from dynatree.heads.classification import KINDS, Thresholds

MORE = 1e-9


@pytest.mark.parametrize(
    ("entropy", "sink", "local", "far", "kind"),
    [
        (3.0, 0.3, 0.6, 0.2, "mixed"),  # every limit is exclusive
        (3.0 + MORE, 0.9, 0.9, 0.0, "global"),
        (0.1, 0.3 + MORE, 0.5, 0.2 + MORE, "global"),
        (3.0, 0.3 + MORE, 0.65, 0.2, "sink"),
        (1.0, 0.3, 0.6 + MORE, 0.0, "local"),
        (1.0, 0.3, 0.6, 0.1, "mixed"),
    ],
)
def test_kinds_at_their_limits(entropy, sink, local, far, kind):
    assert Thresholds().kind(entropy, sink, local, far) == kind
    assert kind in KINDS


@pytest.mark.parametrize(
    ("sink", "profile", "tokens", "window"),
    [
        (0.5, [0.45, 0.05, 0.0, 0.0], 16, 1),  # exactly 0.95 is enough
        (0.5, [0.44, 0.01, 0.05, 0.0], 16, 2),
        (0.0, [0.2, 0.2, 0.55, 0.05], 16, 4),
        (0.0, [0.2, 0.2, 0.55, 0.05], 8, 4),  # half of the text
        (0.0, [0.2, 0.2, 0.55, 0.05], 7, None),
        (0.0, [0.2, 0.2, 0.54, 0.06], 16, None),
    ],
)
def test_windows_hold_the_mass_and_do_not_exceed_half_of_the_text(sink, profile, tokens, window):
    assert Thresholds().window(sink, profile, [0, 1, 2, 4], tokens) == window
