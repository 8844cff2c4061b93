"""What a file is, by its content: sizes and resolution are read, and whatever acts, grows or is broken is refused."""

import struct
from pathlib import Path

import pytest

from gateway.domain.files import Content, FileType, UnfitError
from gateway.files.content import read_content, type_of
from tests.files.samples import jpeg, pdf, png, svg

EVERY = frozenset(FileType)
HTML = b"<!DOCTYPE html><html><body>sign in <svg></svg></body></html>"


def read(folder: Path, content: bytes, wanted: frozenset[FileType] = EVERY) -> Content:
    file = folder / "file"
    file.write_bytes(content)
    return read_content(file, wanted)


def complaint(folder: Path, content: bytes, wanted: frozenset[FileType] = EVERY) -> str:
    with pytest.raises(UnfitError) as caught:
        read(folder, content, wanted)
    return str(caught.value)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"%PDF-1.7", FileType.PDF),
        (png(), FileType.PNG),
        (jpeg(), FileType.JPEG),
        (svg(), FileType.SVG),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->" + svg(), FileType.SVG),
        (b"  0\r\nSECTION\r\n  2\r\nHEADER", FileType.DXF),
        (b"AutoCAD Binary DXF\r\n\x1a\x00", FileType.DXF),
        (b"ISO-10303-21;\nHEADER;", FileType.STEP),
        (HTML, None),
        (b"<?xml version='1.0'?><feed/>", None),
        (b" %PDF-1.7", None),
        (b"MZ\x90\x00", None),
        (b"", None),
    ],
)
def test_the_type_is_told_by_the_first_bytes_alone(head: bytes, kind: FileType | None) -> None:
    assert type_of(head) is kind


def test_what_is_none_of_the_wanted_types_is_refused_in_words(tmp_path: Path) -> None:
    assert complaint(tmp_path, HTML) == ("it is a web page by its content; wanted: dxf, jpeg, pdf, png, step, svg")
    assert complaint(tmp_path, png(), frozenset({FileType.PDF})) == "it is png by its content; wanted: pdf"
    assert complaint(tmp_path, b"").startswith("it is empty")
    assert complaint(tmp_path, b"MZ").startswith("it is of an unknown type")


def test_a_png_tells_its_size_and_resolution_and_needs_both_ends(tmp_path: Path) -> None:
    found = read(tmp_path, png(709, 354))
    assert (found.type, found.width_px, found.height_px) == (FileType.PNG, 709, 354)
    assert found.dpi == pytest.approx(300, abs=0.01)
    assert read(tmp_path, png(dots_a_metre=None)).dpi is None
    assert "ends early" in complaint(tmp_path, png(end=False))
    assert "ends early" in complaint(tmp_path, png()[:-20])
    assert "does not begin with its size" in complaint(tmp_path, png()[:8] + png()[33:])
    assert "no machine should unpack" in complaint(tmp_path, png(90_000, 90_000))
    assert "no machine should unpack" in complaint(tmp_path, png(0, 10))


@pytest.mark.parametrize(("unit", "density", "dpi"), [(1, 300, 300.0), (2, 118, 299.72), (0, 1, None), (1, 0, None)])
def test_a_jpeg_tells_its_size_and_resolution(tmp_path: Path, unit: int, density: int, dpi: float | None) -> None:
    found = read(tmp_path, jpeg(unit=unit, density=density))
    assert (found.type, found.width_px, found.height_px) == (FileType.JPEG, 709, 354)
    assert found.dpi == (None if dpi is None else pytest.approx(dpi))


def test_a_broken_jpeg_is_refused(tmp_path: Path) -> None:
    whole = jpeg()
    assert "ends early" in complaint(tmp_path, jpeg(end=False))
    assert "ends early" in complaint(tmp_path, whole[:40])
    assert "ends early" in complaint(tmp_path, b"\xff\xd8\xff\xe0\x00\x00" + bytes(100))
    assert "ends early" in complaint(tmp_path, b"\xff\xd8" + b"\xff" * 300)


@pytest.mark.parametrize("cut", range(2, 100, 7))
def test_no_cut_of_a_picture_is_anything_but_refused(tmp_path: Path, cut: int) -> None:
    for whole in (png(), jpeg()):
        with pytest.raises(UnfitError):
            read(tmp_path, whole[: min(cut, len(whole) - 1)])


def test_a_drawing_tells_its_size_in_millimetres(tmp_path: Path) -> None:
    found = read(tmp_path, svg())
    assert (found.type, found.width_mm, found.height_mm) == (FileType.SVG, 60.0, 30.0)
    assert read(tmp_path, svg(root="width='96' height='2.54cm'")).width_mm == pytest.approx(25.4)
    assert read(tmp_path, svg(root="width='100%' height='1in'")).width_mm is None
    fine = "<style>.a{fill:url(#g)}</style><use href='#g'/><image href='data:image/png;base64,AAAA'/>"
    assert read(tmp_path, svg(fine)).height_mm == 30.0


@pytest.mark.parametrize(
    ("drawing", "why"),
    [
        (svg("&a;", head="<!DOCTYPE svg [<!ENTITY a 'aaaa'>]>"), "document type"),
        (svg(head="<!DOCTYPE svg SYSTEM 'http://192.0.2.1/x.dtd'>"), "document type"),
        (svg("<script>alert(1)</script>"), "acts (<script>)"),
        (svg("<x:SCRIPT xmlns:x='http://www.w3.org/2000/svg'/>"), "acts (<script>)"),
        (svg("<foreignObject/>"), "acts (<foreignobject>)"),
        (svg("<rect onclick='x()'/>"), "acts (an attribute"),
        (svg("<image href='http://192.0.2.1/x.png'/>"), "fetches something"),
        (svg("<image xmlns:x='http://www.w3.org/1999/xlink' x:href='file:///etc/passwd'/>"), "fetches something"),
        (svg("<a href='javascript:x()'/>"), "fetches something"),
        (svg("<image href='data:image/svg+xml;base64,AAAA'/>"), "fetches something"),
        (svg("<style>@import 'http://192.0.2.1/x.css';</style>"), "fetches something"),
        (svg("<style><![CDATA[a{fill:url( 'http://192.0.2.1/x')}]]></style>"), "fetches something"),
        (svg("<rect style='fill:u\\72l(http://192.0.2.1/x)'/>"), "fetches something"),
        (svg(head="<?xml-stylesheet href='x.xsl'?>"), "instructions"),
        (svg(head="<?xml version='1.0' encoding='UTF-7'?>"), "UTF-8"),
        (svg("<g>" * 300 + "</g>" * 300), "too many parts"),
        (svg("<g>"), "broken drawing"),
        (b"<?xml version='1.0'?><x><svg/></x>", "no drawing"),
        (b"<svg/>", "no drawing"),
    ],
)
def test_a_drawing_that_acts_grows_or_fetches_is_refused(tmp_path: Path, drawing: bytes, why: str) -> None:
    assert why in complaint(tmp_path, drawing)


def test_a_pdf_tells_its_pages_and_their_one_size(tmp_path: Path) -> None:
    found = read(tmp_path, pdf((170.08, 85.04), (170.1, 85.0)))
    assert (found.type, found.pages) == (FileType.PDF, 2)
    assert found.width_mm == pytest.approx(60, abs=0.1)
    assert found.height_mm == pytest.approx(30, abs=0.1)
    turned = read(tmp_path, pdf((170.08, 85.04), pages_key="/Rotate 90"))
    assert turned.width_mm == pytest.approx(30, abs=0.1)
    assert read(tmp_path, pdf((170, 85), (300, 85))).width_mm is None


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (pdf((10, 10), catalog="/OpenAction<</S/JavaScript/JS(x)>>"), "acts"),
        (pdf((10, 10), catalog="/Names<</EmbeddedFiles<</Names[]>>>>"), "acts"),
        (pdf((10, 10), catalog="/Names<</JavaScript<</Names[]>>>>"), "acts"),
        (pdf((10, 10), catalog="/AA<</WC<</S/JavaScript>>>>"), "acts"),
        (pdf(), "0 pages"),
    ],
)
def test_a_pdf_that_acts_or_is_empty_is_refused(tmp_path: Path, document: bytes, why: str) -> None:
    assert why in complaint(tmp_path, document)


def test_a_pdf_that_ends_early_is_refused(tmp_path: Path) -> None:
    assert "ends early" in complaint(tmp_path, pdf((10, 10))[:-10])


def test_types_without_a_look_inside_are_known_by_name_alone(tmp_path: Path) -> None:
    assert read(tmp_path, b"ISO-10303-21;" + struct.pack(">I", 1)) == Content(type=FileType.STEP)
