"""Assess the reports on one indicator together, and store the result for each clearance."""
