"""The provenance of a report as PROV."""
