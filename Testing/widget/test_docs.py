"""The guide to the module says what the panel says, and its links and pictures are there."""

import re
import xml.etree.ElementTree as ET

from .desktop import MODULE

ROOT = MODULE.parents[1]
GUIDE = ROOT / "docs" / "slicer.md"
UI = MODULE.parent / "Resources" / "UI" / "WPUNetSegment.ui"


def test_links_and_pictures_are_there():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", GUIDE.read_text("utf-8"))
    assert len(links) > 10
    for link in links:
        assert (GUIDE.parent / link).exists(), link


def test_every_control_is_explained_under_the_name_it_has_on_the_panel():
    guide = GUIDE.read_text("utf-8")
    named = 0
    for widget in ET.parse(UI).getroot().iter("widget"):
        if widget.get("class") in ("QPushButton", "QCheckBox", "ctkCollapsibleButton") or widget.get("name") in (
            *("ctLabel", "segmentationLabel", "deviceLabel", "regionLabel", "minTumorLabel"),
        ):
            (text,) = (p.findtext("string") for p in widget.findall("property") if p.get("name") == "text")
            assert text.replace("&", "").rstrip(":") in guide, text
            named += 1
    assert named > 20


def test_each_message_of_the_trouble_table_is_one_of_the_programs():
    sources = "".join(
        path.read_text("utf-8")
        for path in (*MODULE.parent.glob("WPUNetSegmentLib/*.py"), *MODULE.parent.glob("wpunet/*.py"))
    )
    table = GUIDE.read_text("utf-8").split("## If something is wrong")[1].split("\n## ")[0]
    messages = re.findall(r"^\| \*(?:… )?([^*|]+)\* \|", table, re.M)
    assert len(messages) >= 6
    for message in messages:
        words = re.sub(r"Python 3.9", "Python {has}", message)
        assert words in sources, message


def test_a_picture_that_was_not_taken_in_slicer_says_so():
    shown = 0
    for document in (GUIDE, ROOT / "README.md"):
        lines = document.read_text("utf-8").splitlines()
        for at, line in enumerate(lines):
            if re.search(r"Screenshots/(panel|segmentation)", line) and line.lstrip().startswith("!["):
                assert lines[at + 2].lstrip().startswith("*Not taken in Slicer"), line
                shown += 1
    assert shown >= 6
