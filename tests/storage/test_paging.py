"""Values for IN clauses."""

from app.storage.paging import chunks, in_values


def test_in_values_of_every_number_have_few_lengths() -> None:
    lists = [list(range(number)) for number in range(65)]
    assert [set(in_values(each)) for each in lists] == [set(each) for each in lists]
    assert {len(in_values(each)) for each in lists} == {0, 1, 4, 16, 64}
    assert in_values(range(65)) == list(range(65))


def test_chunks_hold_every_value_and_at_most_500() -> None:
    found = list(chunks(range(1003)))
    assert {each for some in found for each in some} == set(range(1003))
    assert [len(each) for each in found] == [500, 500, 4]
    assert list(chunks([])) == []
