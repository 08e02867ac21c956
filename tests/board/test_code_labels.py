"""Tests for the labels of codes."""

from app.board.code_labels import label_for
from app.domain.kinds import KINDS
from app.http.localization import LANGUAGES, localization_for


def test_concepts_have_different_labels_in_every_language() -> None:
    """A translation must not merge concepts, which are never added up."""
    concepts = ("trapped", "besieged", "hard_to_reach", "encircled", "at_risk", "in_need", "remaining")
    for language in LANGUAGES:
        assert len({label_for(each, localization_for(language)) for each in concepts}) == len(concepts), language


def test_code_without_a_label_loses_its_underscores() -> None:
    assert label_for("never_heard_of", localization_for("ar")) == "never heard of"


def test_every_kind_has_a_translated_label() -> None:
    assert all(label_for(kind, localization_for("ar")) != KINDS[kind].title for kind in KINDS)


def test_kind_labels_a_code_that_another_kind_has_too() -> None:
    english = localization_for("en")
    assert label_for("medical", english, "route_closure") == "medical teams"
    assert label_for("medical", english, "supply_runout") == "Medical supplies"
