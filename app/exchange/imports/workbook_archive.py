"""Opens the ZIP archive of a workbook, which can unpack to a thousand times its size: parts are counted before one is parsed."""

import re
import zipfile
import zlib
from typing import IO, Any, cast
from xml.etree.ElementTree import Element, fromstring

from app.exchange.imports.tables import UnreadableFile

# Parsing costs some microseconds for each element, and less for each attribute. Tables, even of equal rows, have at most 2.3 elements and
# attributes, and 15 bytes of XML, for each byte of the file.
MIN_NODES, MAX_NODES_PER_BYTE = 100_000, 3
MIN_UNPACKED_BYTES, MAX_UNPACKED_PER_BYTE = 4 * 1024 * 1024, 40
# Parts other than sheets and strings, such as styles, are parsed as a whole, which costs twenty times as much.
MAX_DOCUMENT_NODES, MAX_DOCUMENT_BYTES = 150_000, 8 * 1024 * 1024
MAX_DIRECTORY_BYTES = 512 * 1024
CHUNK_BYTES, PARSED_CHUNK_BYTES = 64 * 1024, 1024 * 1024
_ENCODING = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"'](?!(?i:utf-8)[\"'])|\xff\xfe|\xfe\xff|.?\0", re.DOTALL)
TOO_MUCH = "The workbook unpacks to far more than its size: save it again with the cells of the table alone, or as CSV."
TOO_MANY = "The workbook has too many styles, names, sheets or other parts: copy the table into a new workbook, or save it as CSV."
# Errors of zipfile, the XML parser and conversions for a damaged or crafted workbook.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, SyntaxError),
    *(AttributeError, EOFError, LookupError, NotImplementedError, OSError, RecursionError, RuntimeError, TypeError, ValueError),
)


class WorkbookArchive(zipfile.ZipFile):
    """The parts of a workbook, of which only as many and such as cost little to parse can be read."""

    def __init__(self, file: IO[bytes]) -> None:
        # zipfile keeps an object for each entry of the directory.
        if (end := zipfile._EndRecData(file)) is not None and end[zipfile._ECD_SIZE] > MAX_DIRECTORY_BYTES:  # type: ignore[attr-defined]
            raise UnreadableFile(TOO_MANY)
        super().__init__(file)
        size = file.seek(0, 2)
        if sum(each.file_size for each in self.infolist()) > MIN_UNPACKED_BYTES + MAX_UNPACKED_PER_BYTE * size:
            raise UnreadableFile(TOO_MUCH)
        self.max_nodes = MIN_NODES + MAX_NODES_PER_BYTE * size
        self._document_nodes = nodes = 0
        for part in self.infolist():
            with super().open(part) as content:
                before = b""
                while chunk := content.read(CHUNK_BYTES):
                    nodes += _nodes(chunk)
                    if nodes > self.max_nodes:
                        raise UnreadableFile(TOO_MUCH)
                    if b"<!DOCTYPE" in before + chunk:
                        raise UnreadableFile("The workbook has a document type, as no spreadsheet program writes it.")
                    before = chunk[-16:]

    def open(self, name: Any, *options: Any, **more: Any) -> IO[bytes]:
        """Open a part; UnreadableFile for an encoding in which its elements were not counted."""
        content = cast(zipfile.ZipExtFile, super().open(name, *options, **more))
        if _ENCODING.match(content.peek(CHUNK_BYTES)):
            raise UnreadableFile("The workbook is not encoded in UTF-8, as spreadsheet programs write it.")
        read = content.read
        # A parser starts an unfinished tag again with each chunk that it is fed: few large ones keep that from growing with the square.
        content.read = lambda size=-1: read(max(size, PARSED_CHUNK_BYTES) if size >= 0 else size)  # type: ignore
        return cast(IO[bytes], content)

    def read(self, name: Any, pwd: bytes | None = None) -> bytes:
        """Return a part that is parsed as a whole."""
        if self.getinfo(name).file_size > MAX_DOCUMENT_BYTES:
            raise UnreadableFile(TOO_MANY)
        content = super().read(name, pwd)
        self._document_nodes += _nodes(content)
        if self._document_nodes > MAX_DOCUMENT_NODES:
            raise UnreadableFile(TOO_MANY)
        return content

    def xml(self, name: str) -> Element:
        """Return a part that is parsed as a whole."""
        return fromstring(self.read(name))  # noqa: S314 - see above


def _nodes(xml: bytes) -> int:
    """Return the number of attributes, and twice that of elements."""
    return 2 * (xml.count(b"<") - xml.count(b"</")) + xml.count(b"=")
