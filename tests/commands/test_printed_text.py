"""Accepted tokens in color."""

from dynatree.commands.printed_text import colored


def test_a_color_never_parts_what_a_terminal_draws_as_one_character():
    green, plain = "\x1b[32m", "\x1b[0m"
    assert colored([("e", True), ("\u0301", False), ("x", False)]) == f"{green}e\u0301{plain}x"
    assert colored([("👍", False), ("🏽", True)]) == "👍🏽"
    assert colored([("👩", True), ("\u200d", False), ("👩", False)]) == f"{green}👩\u200d👩{plain}"
