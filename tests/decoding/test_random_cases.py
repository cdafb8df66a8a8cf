"""Random requests of every kind: their output is exact.

Over all parts, `make test` tries about a thousand and `make test-nightly` ten thousand.
"""

import pytest
from hypothesis import given, settings

from tests.support.random_cases import cases, check

PARTS = 10  # which the workers of the tests share
EXAMPLES = {"dev": 10, "ci": 100, "nightly": 1000}  # of a part


@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=EXAMPLES[settings.get_current_profile_name()], print_blob=False)
@given(case=cases())
def test_any_request_is_exact(part, case):
    try:
        check(case)
    except Exception as error:
        raise AssertionError(f"a request is not exact:\ncheck({case!r})") from error
