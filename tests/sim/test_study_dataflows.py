"""``eyas study dataflows``: its tables, its page in docs, its pictures and its exit status."""

import argparse
import dataclasses
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from golden.dataflows.published import PUBLISHED
from sim.study import command, dataflow_pictures, dataflow_report, dataflow_tables, dataflows
from sim.study.dataflows import SHOWN_LEVELS, EyasRun, Study

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def study() -> Study:
    """The comparison and its variants, without what takes long: other array sizes, FC layers, Eyas's machine."""
    unit, compared = dataflows.compare()
    eyas = EyasRun("stand-in", 168, 160.0, 1, dict.fromkeys(SHOWN_LEVELS, 1.0), 0.005, unit)
    scaled = {(256, 16): compared}
    return Study(unit, compared, dataflows.find_variants(unit, compared), scaled, {16: compared}, eyas)


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(dest="command"))
    return parser.parse_args(["study", *arguments])


def test_docs_state_each_deviation(study: Study) -> None:
    """The tables that stand on the comparison are on the page as they come out; the page's rest: see below."""
    page = (DOCS / "dataflows.md").read_text()
    for table in (dataflow_tables.deviation_table, dataflow_tables.storage_table, dataflow_tables.mapping_table):
        assert table(study) in page, f"{table.__name__} stale: run eyas study dataflows --documents docs"
    assert dataflow_tables.level_table(study) in page
    assert dataflow_tables.variant_table(study.variants) in page
    assert dataflow_tables.cost_table() in page
    assert dataflow_report.verdict(study) in page


@pytest.mark.long
def test_docs_are_what_the_command_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(options("dataflows", "--documents", str(tmp_path))) == 0
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert [str(path) for path in written] == [
        "dataflows.md",
        "pictures/dataflows_dram.svg",
        "pictures/dataflows_energy.svg",
    ]
    stale = [str(path) for path in written if (tmp_path / path).read_bytes() != (DOCS / path).read_bytes()]
    assert not stale, "run eyas study dataflows --documents docs"
    assert dataflow_report.verdict(dataflows.run_study()) in capsys.readouterr().out


def test_deviations_are_of_the_published_figures(study: Study) -> None:
    """From the table's own figures, to their last digit."""
    rows = [line.split(" | ") for line in dataflow_tables.deviation_table(study).splitlines()[2:]]
    assert [row[0].removeprefix("| ").partition(",")[0] for row in rows] == PUBLISHED.order
    for name, energy, published, deviation, dram, published_dram, dram_deviation, _ in rows:
        key = name.removeprefix("| ").partition(",")[0]
        assert (float(published), float(published_dram)) == (PUBLISHED.energy[key], PUBLISHED.dram[key])
        assert abs(100 * (float(energy) / float(published) - 1) - float(deviation)) < 0.05 + 100 * 0.0005 / 0.9
        assert abs(100 * (float(dram) / float(published_dram) - 1) - float(dram_deviation)) < 0.05 + 0.0005 / 0.003


def test_parts_add_up_to_the_energy(study: Study) -> None:
    """By level, and by type of data with the MAC; figures have three digits, so sums of five may be off by 0.003."""
    for line in dataflow_tables.level_table(study).splitlines()[2:]:
        *levels, ifmaps, filters, psums, energy = map(float, line.strip("| ").split(" | ")[1:])
        assert abs(sum(levels) - energy) < 0.003
        assert abs(levels[-1] + ifmaps + filters + psums - energy) < 0.003


def test_each_variant_changes_what_it_concerns(study: Study) -> None:
    usual, *variants = study.variants
    before = {one.dataflow: one for one in usual.deviations}
    for variant in variants:
        assert any(one != before[one.dataflow] for one in variant.deviations), variant.title


def test_variants_say_whether_the_order_stays(study: Study) -> None:
    ends = [line.split(" | ")[-1] for line in dataflow_tables.variant_table(study.variants).splitlines()[2:]]
    assert [end.removesuffix(" |") for end in ends] == ["yes", "yes", "yes", "no", "yes", "no"]


def test_another_order_is_said_and_is_the_exit_status(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    swapped = [study.compared[0], *study.compared[2:], dataclasses.replace(study.compared[0], dataflow="WS")]
    other = dataclasses.replace(study, compared=tuple(swapped))
    assert other.order[:2] == ["RS", "WS"]
    monkeypatch.setattr(dataflows, "run_study", lambda progress: other)
    assert command.run(options("dataflows")) == 1
    expected = (
        "The order is RS < WS < OS_A < OS_B < OS_C < NLR; the published one is RS < OS_A < OS_B < OS_C < WS < NLR."
    )
    assert expected in capsys.readouterr().out


def test_the_page_has_all_links_and_pictures(study: Study) -> None:
    page = dataflow_report.document(study)
    pictures = re.findall(r"\]\(pictures/dataflows_(\w+)\.svg\)", page)
    assert pictures == list(dataflow_pictures.PICTURES)
    assert not re.search(r"[{}]", page), "a figure is not filled in"
    assert dataflow_report.document(study) == page


def test_pictures_are_the_same_each_time_and_show_the_figures(study: Study, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for folder in ("one", "two"):
        dataflow_pictures.draw(study, tmp_path / folder)
    for name in dataflow_pictures.PICTURES:
        first, second = (tmp_path / folder / f"dataflows_{name}.svg" for folder in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
        texts = {node.text for node in ET.parse(first).iter("{http://www.w3.org/2000/svg}text")}
        for one in study.deviations:
            assert one.dataflow in texts
            assert (f"{one.energy:.3f}" if name == "energy" else f"{one.dram:.5f}") in texts


def test_without_matplotlib_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from sim.pictures import PlotError

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(dataflows, "run_study", lambda progress: pytest.fail("ran"))
    with pytest.raises(PlotError, match=r"install the extra plot"):
        command.run(options("dataflows", "--documents", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options("dataflow")
    assert "invalid choice: 'dataflow'" in capsys.readouterr().err
