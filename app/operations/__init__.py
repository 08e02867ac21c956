"""Backup, restore, verify, doctor and health checks."""
