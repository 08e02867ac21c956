"""Lists as CSV, XLSX, GeoJSON and NDJSON, and the full export."""
