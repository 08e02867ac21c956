"""Lifeline: sourced statements about places cut off, read together into indicators."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lifeline")
except PackageNotFoundError:  # a bare source tree without an installed distribution
    __version__ = "0"
