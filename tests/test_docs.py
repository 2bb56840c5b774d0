"""The documentation against the repository: links, commands, and the generated pages."""

import argparse
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw import docs
from sim.cli import parser

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = [page for page in PAGES if REFERENCE not in page.parents]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def _code(page: Path) -> str:
    """Return the code blocks and spans of a page, one after the other."""
    return "\n".join(code.strip("`") for code in _CODE.findall(page.read_text()))


def _anchors(page: Path) -> set[str]:
    """Return what a link to a page may have behind '#', as GitHub makes it from headings."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


def _subcommands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(action.choices)


def _eyas_calls(page: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield subcommand and options of every ``eyas`` call in a page's code; a call may go on in indented lines."""
    calls = re.findall(r"(?:^|\.venv/bin/)eyas (\w+)((?:.*\n(?=[ \t]+\S))*.*)$", _code(page), re.MULTILINE)
    for subcommand, rest in calls:
        yield subcommand, set(re.findall(r"--[a-z][a-z-]*", rest))


def test_reference_pages_are_what_the_declarations_say() -> None:
    written = {page.name: page.read_text() for page in REFERENCE.iterdir()}
    expected = docs.reference_pages()
    assert sorted(written) == sorted(expected)
    stale = [name for name in expected if written[name] != expected[name]]
    assert not stale, f"{', '.join(stale)} stale: run make docs"


def test_main_writes_the_reference_pages(tmp_path: Path) -> None:
    docs.main([str(tmp_path / "new")])
    assert {page.name: page.read_text() for page in (tmp_path / "new").iterdir()} == docs.reference_pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(index.read_text())}
    assert set(PAGES) - linked == {index}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {target for page in WRITTEN for target in re.findall(r"^make ([a-z-]+)", _code(page), re.MULTILINE)}
    assert {"run", "verilog"} <= mentioned <= targets


def test_make_variables_exist() -> None:
    variables = set(re.findall(r"^([A-Z]+) \?=", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for page in WRITTEN for line in re.findall(r"^make .*", _code(page), re.MULTILINE)]
    mentioned = {name for line in lines for name in re.findall(r"\b([A-Z]+)=", line)}
    assert mentioned
    assert mentioned <= variables


def test_eyas_subcommands_and_options_exist() -> None:
    subcommands = _subcommands()
    calls = [(page.name, *call) for page in WRITTEN for call in _eyas_calls(page)]
    unknown = [
        (page, subcommand, option)
        for page, subcommand, options in calls
        for option in sorted(options) or [""]
        if subcommand not in subcommands or (option and option not in subcommands[subcommand]._option_string_actions)
    ]
    assert not unknown
    assert {subcommand for _, subcommand, _ in calls} == set(subcommands), "every subcommand is documented"


def test_usage_lists_every_option_and_target() -> None:
    documented: dict[str, set[str]] = {}
    for subcommand, options in _eyas_calls(ROOT / "docs" / "usage.md"):
        documented.setdefault(subcommand, set()).update(options)
    for name, subcommand in _subcommands().items():
        options = {option for option in subcommand._option_string_actions if option.startswith("--")}
        assert options - {"--help"} <= documented[name], name
    targets = set(re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}
    code = _code(ROOT / "docs" / "usage.md")
    assert targets == set(re.findall(r"^make ([a-z-]+)", code, re.MULTILINE))


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "pictures").glob("*.svg")), ids=lambda path: path.name)
def test_pictures_are_svg_and_stand_alone(picture: Path) -> None:
    root = ET.parse(picture).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [name for node in root.iter() for name in node.attrib if name.endswith("href")]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_mentioned_exist(page: Path) -> None:
    paths = re.findall(r"`((?:hw|golden|compiler|sim|tests|docs|training)/[\w/.*-]+)`", page.read_text())
    assert not [path for path in paths if not list(ROOT.glob(path))]
