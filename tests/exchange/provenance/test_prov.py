"""Provenance in W3C PROV, parsed by the packages prov (PROV-JSON) and rdflib (JSON-LD)."""

import io
from typing import Any

import httpx
import pytest
from prov.model import PROV, ProvDocument
from rdflib import Graph, URIRef

from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

PROV_O = "http://www.w3.org/ns/prov#"


def uri(what: str, name: str) -> URIRef:
    return URIRef(f"urn:lifeline:{what}:{name}")


async def as_graph(client: httpx.AsyncClient, report: str) -> Graph:
    response = await client.get(f"/v1/reports/{report}/provenance", headers={"Accept": "application/ld+json"})
    assert response.headers["content-type"] == "application/ld+json"
    return Graph().parse(data=response.text, format="json-ld")


@sqlite_only
async def test_prov_json_is_parsed_by_prov_with_all_relations(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for name, relations in (
        ("people", {"Attribution", "Association", "Generation", "Communication", "Usage", "Derivation"}),
        ("wrong", {"Attribution", "Association", "Generation", "Communication", "Derivation"}),
        ("withdrawn", {"Attribution", "Association", "Generation", "Communication", "Invalidation"}),
    ):
        response = await client.get(f"/v1/reports/{filled[name]['id']}/provenance")
        assert response.headers["content-type"] == "application/json"
        document = ProvDocument.deserialize(io.StringIO(response.text), format="json")
        records = document.get_records()
        found = {each.get_type().localpart for each in records} - {"Entity", "Agent", "Activity"}
        assert found == relations, name
        # The document holds every element that a relation names.
        named = {each.identifier.uri for each in records if each.is_element()}
        for each in records:
            if each.is_relation():
                assert {value.uri for key, value in each.formal_attributes if key != PROV["time"] and value is not None} <= named
        assert document == ProvDocument.deserialize(io.StringIO(document.serialize(format="json")), format="json")


@sqlite_only
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")  # inside rdflib
async def test_json_ld_is_parsed_by_rdflib_with_terms_of_prov_o(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
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


@mostly_sqlite
async def test_provenance_needs_the_clearance_and_an_offered_format(
    make_client: MakeClient, anonymous: httpx.AsyncClient, filled: dict[str, Any]
) -> None:
    path = f"/v1/reports/{filled['secret']['id']}/provenance"
    assert (await anonymous.get(path)).status_code == 404
    refused = await anonymous.get(f"/v1/reports/{filled['people']['id']}/provenance", headers={"Accept": "text/csv"})
    assert refused.status_code == 406
    assert (await anonymous.get(f"/v1/reports/{filled['people']['id']}/provenance?format=xlsx")).status_code == 406
