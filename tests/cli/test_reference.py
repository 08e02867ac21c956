"""`lifeline source add`."""

from pathlib import Path

from tests.support.servers import invoke, query_rows


def test_source_add_records_a_source_as_the_api_does(database_url: str) -> None:
    fields = ("--name", "A monitor", "--type", "monitor", "--reliability", "C", "--alias", "A local monitor", "--org", "desk")
    done = invoke("source", "add", "a-monitor", *fields, database_url=database_url)
    assert (done.exit_code, done.stdout) == (0, "Added the source a-monitor.\n")
    query = "SELECT s.slug, s.type, s.alias, s.organisation, g.reliability FROM source s JOIN source_grade g ON g.source_id = s.id"
    assert query_rows(database_url, query) == [("a-monitor", "monitor", "A local monitor", "desk", "C")]
    again = invoke("source", "add", "a-monitor", *fields, database_url=database_url)
    assert (again.exit_code, again.stderr) == (1, "A source with the slug a-monitor exists: choose another slug.\n")


def test_source_add_names_every_wrong_field(sqlite_template: Path) -> None:
    fields = ("--name", "", "--type", "blog", "--reliability", "Z")
    refused = invoke("source", "add", "A Blog", *fields, database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert [line.partition(":")[0] for line in refused.stderr.splitlines()] == ["slug", "name", "type", "reliability"]
