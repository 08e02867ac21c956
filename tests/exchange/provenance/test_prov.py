"""Provenance in W3C PROV: the prov package reads the PROV-JSON, rdflib the JSON-LD, and both say the same."""

import io
from typing import Any

import httpx
import pytest
from prov.model import PROV, ProvDocument
from rdflib import Graph, URIRef

from tests.support.fixtures import MakeClient, of_no_storage

PROV_O = "http://www.w3.org/ns/prov#"


def uri(what: str, name: str) -> URIRef:
    return URIRef(f"urn:lifeline:{what}:{name}")


async def as_graph(client: httpx.AsyncClient, report: str) -> Graph:
    answer = await client.get(f"/v1/reports/{report}/provenance", headers={"Accept": "application/ld+json"})
    assert answer.headers["content-type"] == "application/ld+json"
    return Graph().parse(data=answer.text, format="json-ld")


@of_no_storage
async def test_prov_reads_it(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for name, relations in (
        ("people", {"Attribution", "Association", "Generation", "Communication", "Usage", "Derivation"}),
        ("wrong", {"Attribution", "Association", "Generation", "Communication", "Derivation"}),
        ("withdrawn", {"Attribution", "Association", "Generation", "Communication", "Invalidation"}),
    ):
        answer = await client.get(f"/v1/reports/{filled[name]['id']}/provenance")
        assert answer.headers["content-type"] == "application/json"
        document = ProvDocument.deserialize(io.StringIO(answer.text), format="json")
        records = document.get_records()
        found = {each.get_type().localpart for each in records} - {"Entity", "Agent", "Activity"}
        assert found == relations, name
        # Everything that is related to something is in the document.
        named = {each.identifier.uri for each in records if each.is_element()}
        for each in records:
            if each.is_relation():
                assert {value.uri for key, value in each.formal_attributes if key != PROV["time"] and value is not None} <= named
        assert document == ProvDocument.deserialize(io.StringIO(document.serialize(format="json")), format="json")


@of_no_storage
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")  # inside rdflib
async def test_rdflib_reads_the_json_ld(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    report = filled["people"]["id"]
    graph = await as_graph(client, report)
    entity = uri("report", report)

    def objects(name: str) -> set[str]:
        return {str(each) for each in graph.objects(entity, URIRef(PROV_O + name))}

    assert objects("wasAttributedTo") == {"urn:lifeline:source:agency"}
    assert objects("wasQuotedFrom") == {f"urn:lifeline:document:{report}-outlet", f"urn:lifeline:document:{report}-monitor"}
    assert objects("hadPrimarySource") == {f"urn:lifeline:document:{report}"}
    assert objects("generatedAtTime") == {filled["people"]["recorded_at"].replace("Z", "+00:00")}
    assert (uri("document", report), URIRef(PROV_O + "atLocation"), URIRef("https://example.org/a")) in graph
    corrected = await as_graph(client, filled["corrected"]["id"])
    revision = (uri("report", filled["corrected"]["id"]), URIRef(PROV_O + "wasRevisionOf"), uri("report", filled["wrong"]["id"]))
    assert revision in corrected
    assert revision in await as_graph(client, filled["wrong"]["id"])
    withdrawn = await as_graph(client, filled["withdrawn"]["id"])
    assert list(withdrawn.objects(uri("report", filled["withdrawn"]["id"]), URIRef(PROV_O + "invalidatedAtTime")))
    witness = await as_graph(client, filled["open"]["id"])
    kinds = witness.objects(uri("source", "neighbour"), URIRef("http://www.w3.org/1999/02/22-rdf-syntax-ns#type"))
    assert URIRef(PROV_O + "Person") in set(kinds)


async def test_no_more_than_the_reader_may_see(make_client: MakeClient, anonymous: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    path = f"/v1/reports/{filled['secret']['id']}/provenance"
    assert (await anonymous.get(path)).status_code == 404
    refused = await anonymous.get(f"/v1/reports/{filled['people']['id']}/provenance", headers={"Accept": "text/csv"})
    assert refused.status_code == 406
    assert (await anonymous.get(f"/v1/reports/{filled['people']['id']}/provenance?format=xlsx")).status_code == 406
