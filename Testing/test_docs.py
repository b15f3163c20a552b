"""Every document says what is there: its links, anchors, commands and options lead somewhere, and no fact is old."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import wpunet
from wpunet import cli, contrast, doubts
from wpunet.clean import CleanRules

from Testing import gallery

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("docs", "training", "WPUNetSegment", "Testing", "Resources")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for part in PARTS for path in (ROOT / part).rglob("*.md"))])
GUIDES = [path for path in DOCUMENTS if path.parent == ROOT / "docs"]
README, CARD = ROOT / "README.md", ROOT / "WPUNetSegment" / "wpunet" / "weights" / "MODEL_CARD.md"


def name(path):
    return path.relative_to(ROOT).as_posix()


def without_blocks(text):
    """Without blocks of code, in which # is no heading."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


def prose(text):
    """Without any code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", without_blocks(text))


def links(text):
    """Targets of Markdown's and HTML's links and pictures that are no address elsewhere."""
    found = re.findall(r"\]\((?:<([^>\n]+)>|([^)\s]+))[^)]*\)|(?:src|href)=\"([^\"]+)\"", prose(text))
    return [target for target in map("".join, found) if not re.match(r"[a-z]+:", target)]


def anchors(text):
    """The anchors that GitHub gives the headings of a document."""
    seen, given = {}, set()
    for heading in re.findall(r"^#{1,6} (.+?)\s*$", without_blocks(text), re.M):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        given.add(slug if not seen.get(slug) else f"{slug}-{seen[slug]}")
        seen[slug] = seen.get(slug, 0) + 1
    return given


def leads_somewhere(document, target):
    path, _, anchor = target.partition("#")
    file = (document.parent / unquote(path)).resolve() if path else document
    if not file.is_relative_to(ROOT) or not file.exists():
        return False
    return not anchor or (file.suffix == ".md" and anchor in anchors(file.read_text("utf-8")))


def test_the_check_of_links_finds_what_is_broken():
    text = (
        '[a](README.md) ![b](none.png) [c](<a b.md>) `[d](code.md)` [e](https://elsewhere.org/x.md) <img src="f.svg">'
    )
    assert links(text + "\n```sh\n[g](block.md)\n```\n") == ["README.md", "none.png", "a b.md", "f.svg"]
    assert anchors("# A `wpunet view`: it?\n## B, and [c](d.md)\n## B, and c\n```sh\n# no heading\n```\n") == {
        *("a-wpunet-view-it", "b-and-c", "b-and-c-1")
    }
    sound = ["README.md", "README.md#licence", "#licence", "docs/", "docs/README.md"]
    unsound = ["none.md", "README.md#none", "#none", "../beyond.md", "LICENSE#none"]
    assert [target for target in sound + unsound if leads_somewhere(README, target)] == sound


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_and_anchor_leads_somewhere(document):
    found = links(document.read_text("utf-8"))
    assert [target for target in found if not leads_somewhere(document, target)] == []


def test_every_guide_is_listed_in_the_index():
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / target).resolve() for target in links(index.read_text("utf-8"))}
    assert {path for path in GUIDES if path != index} <= listed
    assert index in {(ROOT / target).resolve() for target in links(README.read_text("utf-8"))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_program_that_is_named_is_there(document):
    for module in re.findall(r"(?:python|torchrun [^`\n]*) -m (?:-- )?([\w.]+)", document.read_text("utf-8")):
        if module.split(".")[0] in ("Testing", "training", "wpunet"):
            base = ROOT / "WPUNetSegment" if module.startswith("wpunet") else ROOT
            place = base.joinpath(*module.split("."))
            assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


@pytest.mark.parametrize(("command", "guide"), [("segment", "command-line.md"), ("view", "view.md")])
def test_every_option_is_explained_and_no_other(command, guide):
    text = (ROOT / "docs" / guide).read_text("utf-8")
    told = set(re.findall(r"`(--[a-z][a-z-]+)", "".join(re.findall(r"^\| (`--[^|]+)\|", text, re.M))))
    there = {option for action in options_of(command) for option in action.option_strings if option.startswith("--")}
    assert told == there - {"--help", "--output"}


def options_of(command):
    (commands,) = (action for action in cli.parser()._actions if action.choices and "segment" in action.choices)
    return commands.choices[command]._actions


def test_every_clean_up_rule_is_explained_and_named_in_the_help(capsys):
    rules = [name for name, value in vars(CleanRules()).items() if isinstance(value, bool)]
    with pytest.raises(SystemExit):
        cli.main(["segment", "--help"])
    told = capsys.readouterr().out
    guide = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    for rule in rules:
        assert re.search(rf"\b{rule}\b", told), rule
        assert f"| `{rule}` |" in guide, rule


def test_every_code_of_a_warning_is_explained():
    sources = (ROOT / "WPUNetSegment" / "wpunet").glob("*.py")
    given = (re.findall(r'Caution\(\s*"(\w+)"', path.read_text("utf-8")) for path in sources)
    codes = {code for some in given for code in some} | {contrast.PLAIN, *doubts.CODES}
    assert len(codes) > 20
    guide = (ROOT / "docs" / "results.md").read_text("utf-8")
    assert [code for code in codes if f"`{code}`" not in guide] == []


def test_the_version_has_one_home_and_a_section_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## \[{re.escape(wpunet.__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.M)
    assert re.search(r"^## \[Unreleased\]$", changelog, re.M)
    for file in ("pyproject.toml", "CITATION.cff", "CMakeLists.txt", "README.md"):
        assert not re.search(r"^version\s*[:=]\s*\"?\d", (ROOT / file).read_text("utf-8"), re.M), file


def test_the_accuracy_in_the_readme_is_that_of_the_weights_that_ship():
    """One block between two comments, whose figures all stand in the model card."""
    block = re.search(r"<!-- accuracy: begin.*?-->\n(.*?)<!-- accuracy: end -->", README.read_text("utf-8"), re.S)[1]
    weights = json.loads(CARD.with_name("wpunet.json").read_text("utf-8"))
    assert f"Weights {weights['version']}:" in block
    card = CARD.read_text("utf-8")
    figures = re.findall(r"\b[01]\.\d{3}\b", block)
    assert len(figures) >= 4
    assert [figure for figure in figures if figure not in card] == []
    rest = README.read_text("utf-8").replace(block, "")
    assert not re.search(r"\b0\.\d{3}\b", rest), "accuracy outside its one place"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_no_merge_is_left_half_done(document):
    assert not re.search(r"^(<{7}|={7}|>{7})( |$)", document.read_text("utf-8"), re.M)


def test_pictures_are_small_and_each_of_the_gallery_is_shown():
    pictures = [path for folder in ("Gallery", "Screenshots") for path in (ROOT / "Resources" / folder).glob("*.png")]
    assert len(pictures) > 10
    assert [path.name for path in pictures if path.stat().st_size > gallery.LARGEST] == []
    shown = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    assert {path.name for path in gallery.GALLERY.glob("*.png")} == set(re.findall(r"Gallery/([\w-]+\.png)", shown))
    for real in re.findall(r"Gallery/kits19-[\w-]+\.png\)\n\n(.+)", shown):
        assert "Heller et al., CC BY-NC-SA 4.0" in real
