"""Situations, urgency, warnings and track records: the indicators of a place together."""
