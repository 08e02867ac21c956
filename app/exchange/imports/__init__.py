"""Statements and gazetteers from files, and the full import."""
