"""Other formats and other systems."""
