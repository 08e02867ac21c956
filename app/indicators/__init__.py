"""Indicators over HTTP: lists, one indicator, its past and history."""
