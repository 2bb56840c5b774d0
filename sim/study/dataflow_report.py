"""The dataflow study as text for the terminal and as a page."""

from __future__ import annotations

from statistics import median
from textwrap import fill

from golden.dataflows.published import PUBLISHED
from sim.study import dataflow_text as text
from sim.study.dataflow_tables import (
    cost_table,
    deviation_table,
    eyas_table,
    fc_table,
    level_table,
    mapping_table,
    percent,
    scaled_table,
    storage_table,
    variant_table,
)
from sim.study.dataflows import Study


def verdict(study: Study) -> str:
    """Return whether the published order came out."""
    if study.reproduced:
        return f"The order is the published one: {' < '.join(study.order)}."
    return f"The order is {' < '.join(study.order)}; the published one is {' < '.join(PUBLISHED.order)}."


def summary(study: Study) -> str:
    """Return the comparison, its breakdown and Eyas's machine as text for the terminal."""
    return "\n\n".join((deviation_table(study), verdict(study), level_table(study), eyas_table(study.eyas)))


def document(study: Study) -> str:
    """Return the page; the same results give the same text."""
    blocks = ["# Dataflows", text.HEAD, _wrap(text.QUESTION)]
    blocks += ["## What it shows", _wrap(text.SUMMARY), deviation_table(study), verdict(study)]
    blocks += [_picture("Energy by level and by type of data", "energy"), _picture("DRAM accesses", "dram")]
    blocks += ["## Why figures deviate", _unit(study), _reasons(study)]
    blocks += ["## Where the energy goes", level_table(study)]
    blocks += ["## The model", text.MODEL, "### Storage", _storage(study), storage_table(study)]
    blocks += ["## What the paper leaves open", text.OPEN, variant_table(study.variants), text.VARIANTS]
    blocks += ["## Mappings", text.MAPPINGS, mapping_table(study)]
    blocks += ["## More PEs, other batches", text.SCALED, scaled_table(study)]
    blocks += ["## FC layers", text.FULLY_CONNECTED, fc_table(study)]
    blocks += ["## Eyas's own machine", _eyas(study), eyas_table(study.eyas)]
    blocks += ["## Energy tables", cost_table(), text.TABLES]
    return "\n\n".join(blocks) + "\n"


def _picture(title: str, name: str) -> str:
    return f"![{title}](pictures/dataflows_{name}.svg)"


def _wrap(paragraph: str, **values: object) -> str:
    return fill(" ".join(paragraph.format(**values).split()), width=120, break_on_hyphens=False, break_long_words=False)


def _reasons(study: Study) -> str:
    found = {one.dataflow: one for one in study.deviations}
    shift = 1 + _shift(study) / 100
    rs_percent = 100 * ((1 + found["RS"].energy_percent / 100) / shift - 1)
    lines = []
    for key in study.order:
        figures = f"energy {percent(found[key].energy_percent)} %, DRAM accesses {percent(found[key].dram_percent)} %"
        reason = _wrap(f"**{key}**: {figures}. {text.REASONS[key]}", rs_percent=percent(rs_percent))
        lines.append("- " + reason.replace("\n", "\n  "))
    return "\n".join(lines)


def _shift(study: Study) -> float:
    """Return by how much the energies deviate in common, in percent."""
    return median(one.energy_percent for one in study.deviations)


def _unit(study: Study) -> str:
    shift, others = _shift(study), [one.energy_percent for one in study.deviations if one.dataflow != "RS"]
    corrected = [100 * ((1 + one.energy_percent / 100) / (1 + shift / 100) - 1) for one in study.deviations]
    near = sum(abs(value) <= 0.2 for value in corrected)
    return _wrap(text.UNIT, low=min(others), high=max(others), median=shift, near=near)


def _storage(study: Study) -> str:
    buffers = [one.machine.buffer_words for one in study.compared]
    sizes = [2 * (one.machine.pes * one.machine.rf_words + one.machine.buffer_words) for one in study.compared]
    difference = (max(sizes) - min(sizes)) / 1024
    return _wrap(text.STORAGE, ratio=max(buffers) / min(buffers), difference=difference)


def _eyas(study: Study) -> str:
    eyas = study.eyas
    first, second = text.EYAS.split("\n\n")
    values = {"config": eyas.config, "pes": eyas.pes, "buffer": eyas.buffer_kib, "batch": eyas.batch}
    return "\n\n".join((_wrap(first, **values), second))
