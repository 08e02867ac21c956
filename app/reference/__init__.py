"""Places, sources and routes."""
