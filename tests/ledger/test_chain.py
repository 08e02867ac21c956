"""What is hashed is RFC 8785 canonical JSON to the byte, whoever writes it."""

from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ledger.hash_chain import canonical_json
from tests.support.fixtures import FULL

LONGEST = 2**53 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['"', "\\", '\\"', '":', ":1.5,", "\x7f", "\u2028", "\ue000", "\U00010000"]
)
LEAVES = st.none() | st.booleans() | st.integers(-LONGEST, LONGEST) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
DOCUMENTS = st.recursive(LEAVES, lambda each: st.lists(each) | st.dictionaries(TEXTS, each), max_leaves=12)


@settings(max_examples=100 if FULL else 25)
@given(st.dictionaries(TEXTS, DOCUMENTS))
def test_as_the_standard_says(document: dict[str, Any]) -> None:
    assert canonical_json(document) == rfc8785.dumps(document)


@pytest.mark.parametrize(
    "document",
    [
        {"\U00010000": 1, "\ue000": 2},
        {'a"\U00010000": ': 1, 'a"\ue000': 2},
        {"a": 1e16},
        {"a": [1, 2, 1e-7]},
        {"a": -0.0},
        {"a": 5e-324},
        {"a": {"b": [0.1]}},
    ],
    ids=repr,
)
def test_where_other_writers_differ(document: dict[str, Any]) -> None:
    assert canonical_json(document) == rfc8785.dumps(document)


@pytest.mark.parametrize("number", [LONGEST + 1, -LONGEST - 1, 2**63])
def test_no_integer_that_is_not_exact_everywhere(number: int) -> None:
    with pytest.raises(rfc8785.IntegerDomainError):
        canonical_json({"a": [0, number]})
