"""Alerts: CAP 1.2 messages and their Atom feed."""
