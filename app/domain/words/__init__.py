"""Read English text into statements by rules of our own, in the version VERSION. Pure: no web and no database."""

from app.domain.words.names import NameIndex
from app.domain.words.reading import Proposal, Reading, Unclear, read_article

__all__ = ["VERSION", "NameIndex", "Proposal", "Reading", "Unclear", "read_article"]

# To be raised when the same text may give other statements.
VERSION = "words/1"
