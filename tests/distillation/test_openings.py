"""The openings that the draft is distilled on, and those held out."""

from dynatree.distillation.openings import phrases, sample_openings


def test_held_out_openings_share_nothing_with_the_training_text():
    lists = phrases()
    fixed = [template.split("{")[0].strip() for template in lists["encyclopedic"] + lists["narrative"]]
    named = [item for item in lists["subjects"] + lists["people"] if len(item.split()) > 1]
    shared = named + [phrase for phrase in fixed if len(phrase.split()) > 3] + lists["places"]
    assert not [(item, text) for text in lists["held_out"] for item in shared if item.lower() in text.lower()]


def test_openings_are_varied_and_repeatable():
    openings = sample_openings(2000, seed=7)
    assert openings == sample_openings(2000, seed=7)
    assert len(set(openings)) > 1000
    assert not [opening for opening in openings if "{" in opening or not opening.strip()]
