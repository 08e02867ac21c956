"""The edge: caching, limits, formats and problem details; knows no table."""
