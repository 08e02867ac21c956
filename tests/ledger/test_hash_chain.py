"""The hashed bytes are exactly RFC 8785 canonical JSON, also when orjson writes them."""

from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ledger.hash_chain import canonical_json
from tests.support.fixtures import FULL

MAX_INTEGER = 2**53 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['"', "\\", '\\"', '":', ":1.5,", "\x7f", "\u2028", "\ue000", "\U00010000"]
)
LEAVES = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
DOCUMENTS = st.recursive(LEAVES, lambda each: st.lists(each) | st.dictionaries(TEXTS, each), max_leaves=12)


@settings(max_examples=100 if FULL else 25)
@given(st.dictionaries(TEXTS, DOCUMENTS))
def test_canonical_json_equals_the_reference_implementation(document: dict[str, Any]) -> None:
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
def test_canonical_json_follows_rfc_8785_where_orjson_differs(document: dict[str, Any]) -> None:
    assert canonical_json(document) == rfc8785.dumps(document)


@pytest.mark.parametrize("number", [MAX_INTEGER + 1, -MAX_INTEGER - 1, 2**63])
def test_canonical_json_rejects_integers_beyond_double_precision(number: int) -> None:
    with pytest.raises(rfc8785.IntegerDomainError):
        canonical_json({"a": [0, number]})
