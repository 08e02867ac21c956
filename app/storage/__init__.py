"""Databases: engines, column types, paging, commit notifications, replicas, migrations."""
