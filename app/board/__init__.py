"""The situation board and the guide: HTML pages that ask the public API."""
