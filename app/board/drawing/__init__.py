"""Maps and plots as SVG."""
