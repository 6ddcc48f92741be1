"""XML as data: no entities and no document types, by which a small file becomes a large one or reads others."""

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate

from mmagg.io.errors import InputError


def read_xml(path: Path) -> Element:
    """The root of an XML file.

    Raises:
        OSError: it cannot be read.
        InputError: it is not XML, or declares a document type.
    """
    builder = TreeBuilder()

    def refuse(*_: object) -> None:
        raise InputError(f'{path}: declares a document type, which may hold entities; remove its <!DOCTYPE …>')

    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (ExpatError, LookupError, ValueError) as error:  # an unknown encoding, too
        if isinstance(error, InputError):
            raise
        raise InputError(f'{path}: not XML ({error})') from error
    return builder.close()
