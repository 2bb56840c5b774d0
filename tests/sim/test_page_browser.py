"""The page of a sweep in a real, headless Chromium, with real pointer, touch and key events."""

import json
import math
import re

import pytest

from hw.config import preset
from sim.page.array import step_layers
from sim.page.data import page_data
from sim.page.html import page
from sim.page.pictures import lower_left
from sim.sweep.points import DIFFERS
from sim.sweep.store import read
from tests.sim.page_browser import CHROMIUM, Browser
from tests.sim.page_store import MARKUP, REASON, page_space, write_store

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, Debian's package chromium")

TIP = "#tip:not([hidden])"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return read(write_store(tmp_path_factory.mktemp("sweep"), page_space()))


@pytest.fixture(scope="module")
def content(sweep):
    return page_data(sweep)


@pytest.fixture(scope="module")
def report(sweep, content, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(sweep, content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(chromium, report):
    chromium.open(report)
    return chromium


def dot(machine):
    """Return the selector of a machine's place in the scatter."""
    return f'.dot[data-machine="{machine}"]'


def choose(browser, select, value):
    """Choose an entry of a list, as a user does."""
    browser.eval(
        f"(() => {{ const e = document.getElementById('{select}'); e.value = '{value}';"
        "e.dispatchEvent(new Event('change')); })()"
    )


def table_ids(browser):
    """Return the machines in the table, from the top."""
    return [int(text[1:]) for text in browser.texts("#machines tbody td:first-child")]


def alone(content):
    """Return a machine that has a place of its own, not selected at first and without layers: one off the front."""
    machines = content["machines"]
    keys = [objective["key"] for objective in content["objectives"]]
    pes, cycles = keys.index("pes"), keys.index("cycles")
    top = max(machine["figures"][cycles] for machine in machines)

    def gap(index):
        a = machines[index]["figures"]
        others = (machine["figures"] for machine in machines if machine is not machines[index])
        return min(max(abs(a[pes] - b[pes]) / 35, abs(a[cycles] - b[cycles]) / top) for b in others)

    return max((index for index in range(len(machines)) if not machines[index]["front"]), key=gap)


def test_the_page_loads_without_errors_and_fetches_nothing(browser, report, content):
    assert browser.console == []
    assert browser.requests == [report.as_uri()]
    assert len(browser.texts("#scatter .dot")) == len(content["machines"])
    for plot in ("scatter", "energy", "utilisation", "cycles", "roofline", "area", "array"):
        assert browser.count(f"#{plot} svg .mark, #{plot} svg .dot") > 0, plot


def test_errors_of_a_page_would_be_seen(chromium, report, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text().replace("start();", "start(); missing();"))
    chromium.open(broken)
    assert chromium.console  # the script's text differs from the hash in the page's policy
    broken.write_text("<script>missing()</script>")
    chromium.open(broken)
    assert "missing is not defined" in chromium.console[0]


def test_labels_are_text_not_markup(browser):
    assert browser.count("b") == 0
    assert browser.texts("#pick-workload option")[0] == MARKUP
    assert MARKUP in browser.text("header") and MARKUP in browser.text("#space")
    assert any(REASON in text for text in browser.texts("#skipped td"))
    assert any(MARKUP in text for text in browser.texts("#machines td"))


def test_hovering_shows_a_machine_and_its_figures(browser, content):
    index = alone(content)
    machine = content["machines"][index]
    assert browser.eval(f"document.querySelector('{TIP}')") is None
    browser.mouse("mouseMoved", *browser.centre(dot(index)))
    text = browser.text(TIP)
    assert text.startswith(f"#{machine['id']}: rows {machine['values'][0]}, cols {machine['values'][1]}")
    for key in content["front"]:
        assert f"{content['objectives'][key]['label']}: {machine['figures'][key]:,}" in text
    browser.mouse("mouseMoved", 2, 2)
    assert browser.eval(f"document.querySelector('{TIP}')") is None


def test_clicking_selects_a_machine(browser, content):
    index = alone(content)
    browser.click(*browser.centre(dot(index)))
    number = content["machines"][index]["id"]
    assert browser.text("#machine-title") == f"One machine: #{number}"
    assert browser.eval("document.querySelector('.dot.chosen').dataset.machine") == str(index)
    assert "some machines of the front only" in browser.text("#figures")
    assert browser.eval("document.getElementById('pick-machine').value") == str(index)
    browser.eval("all('#machines td button')[2].click()")
    chosen = browser.texts("#machines tr[aria-current] td:first-child")
    assert browser.text("#machine-title").startswith(f"One machine: {chosen[0]}") and len(chosen) == 1
    assert str(index) not in browser.texts("#pick-machine option")


def test_a_rectangle_filters_the_table(browser, content):
    browser.eval("document.getElementById('rows-all').click()")
    assert len(table_ids(browser)) == len(content["machines"])
    machines = content["machines"]
    across = content["front"][-1]
    browser.centre("#scatter")
    places = dict(browser.eval("all('#scatter .dot').map((e) => [number(e, 'data-machine'), centre(e)])"))
    middle = sorted(x for x, _ in places.values())[len(places) // 2]
    left, right = min(x for x, _ in places.values()) - 12, middle + 4
    top, bottom = (pick(y for _, y in places.values()) + slack for pick, slack in ((min, -12), (max, 12)))
    browser.drag((left, top), (right, bottom))
    inside = [index for index, (x, _) in places.items() if x <= right]
    assert 0 < len(inside) < len(machines)
    assert sorted(table_ids(browser)) == sorted(machines[index]["id"] for index in inside)
    assert max(machines[index]["figures"][across] for index in inside) < max(m["figures"][across] for m in machines)
    assert browser.text("#status") == f"{len(inside)} machines in the rectangle:"
    assert browser.count(".dot.outside") == len(machines) - len(inside)
    browser.click(*browser.centre("#clear"))
    assert len(table_ids(browser)) == len(machines)
    browser.centre("#scatter")
    browser.drag((left, top), (right, bottom))
    assert len(table_ids(browser)) == len(inside)
    choose(browser, "x", content["front"][0])
    assert len(table_ids(browser)) == len(machines)


def test_the_step_line_is_the_front_of_the_axes(browser, content):
    energy = [objective["key"] for objective in content["objectives"]].index("energy")
    choose(browser, "x", energy)
    up = content["front"][0]
    figures = {(m["figures"][energy], m["figures"][up]): index for index, m in enumerate(content["machines"])}
    line = [figures[place] for place in lower_left(list(figures))]
    expected = [
        browser.eval(f"['cx', 'cy'].map((n) => Number(document.querySelector('{dot(index)}').getAttribute(n)))")
        for index in line
    ]
    path = browser.eval("document.querySelector('#scatter path.steps').getAttribute('d')")
    numbers = [float(number) for number in re.findall(r"[\d.]+", path)]
    assert numbers[:-1] == [number for place in expected for number in place]


def test_axes_are_linear_or_logarithmic(browser, content):
    key = content["front"][0]
    values = [machine["figures"][key] for machine in content["machines"]]
    for function, click in ((float, False), (math.log, True)):
        if click:
            browser.click(*browser.centre("#log-y"))
        places = browser.eval("all('#scatter .dot').map((e) => [+e.dataset.machine, +e.getAttribute('cy')])")
        by_index = dict(places)
        low, high = values.index(min(values)), values.index(max(values))
        for index, value in enumerate(values):
            share = (function(value) - function(values[low])) / (function(values[high]) - function(values[low]))
            assert by_index[index] == pytest.approx(by_index[low] + share * (by_index[high] - by_index[low]), abs=0.01)


def test_machines_that_ran_on_rtl_are_ringed(browser, sweep):
    verified = [point for point in sweep.points if point.verified]
    wrong = [point for point in verified if point.verified.startswith(DIFFERS)]
    assert (len(verified), len(wrong)) == (2, 1)
    assert browser.count("#scatter .ring") == 2
    assert browser.count("#scatter .ring.wrong") == 1
    assert {"equal on RTL", "differs on RTL"} <= set(browser.texts("#scatter-legend li"))


def test_the_keyboard_reaches_every_machine(browser, content):
    browser.eval("document.getElementById('log-y').focus()")
    browser.key("Tab")
    reached = []
    for _ in content["machines"]:
        reached.append(browser.eval("document.activeElement.dataset.machine"))
        assert browser.text(TIP).startswith(f"#{content['machines'][int(reached[-1])]['id']}:")
        browser.key("ArrowRight")
    assert sorted(map(int, reached)) == list(range(len(content["machines"])))
    browser.key("Home")
    assert browser.eval("document.activeElement.dataset.machine") == reached[0]
    browser.key("Enter")
    assert browser.text("#machine-title").startswith(f"One machine: #{content['machines'][int(reached[0])]['id']}")


def test_escape_clears_the_rectangle(browser, content):
    x, y = browser.centre(dot(alone(content)))
    browser.drag((x - 15, y - 15), (x + 15, y + 15))
    assert not browser.eval("document.getElementById('clear').disabled")
    browser.eval("document.querySelector('.dot[tabindex=\"0\"]').focus()")
    browser.key("Escape")
    assert browser.eval("document.getElementById('clear').disabled")
    assert browser.eval("document.getElementById('box').getAttribute('visibility')") == "hidden"


def test_a_tap_shows_and_selects(chromium, report, content):
    chromium.open(report, width=360, height=740, touch=True)
    index = alone(content)
    number = content["machines"][index]["id"]
    chromium.tap(*chromium.centre(dot(index)))
    assert chromium.text(TIP).startswith(f"#{number}:")
    assert chromium.text("#machine-title").startswith(f"One machine: #{number}")
    chromium.tap(*chromium.centre("#utilisation svg[role=img] .mark"))
    assert chromium.text(TIP).count("\n") == 1


def test_columns_sort_both_ways(browser, content):
    browser.eval("document.getElementById('rows-all').click()")
    energy = next(i for i, objective in enumerate(content["objectives"]) if objective["key"] == "energy")
    choose(browser, "x", energy)
    for direction, order in (("ascending", False), ("descending", True)):
        browser.click(*browser.centre('th[data-key="figure energy"] button'))
        rows = browser.texts("#machines tbody tr")
        ids = table_ids(browser)
        by_id = {machine["id"]: machine["figures"][energy] for machine in content["machines"]}
        assert [by_id[number] for number in ids] == sorted(by_id.values(), reverse=order) and len(rows) == len(by_id)
        assert browser.eval("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == direction


def test_bars_are_as_long_as_their_figures(browser, content):
    details = content["details"][str(content["best"])]
    layers = details["layers"][content["largest"]]
    widths = browser.eval("all('#energy svg[role=img] rect.mark').map((e) => +e.getAttribute('width'))")
    values = [value for layer in layers for value in layer["cost"][3] if value]
    assert widths == pytest.approx([value * widths[0] / values[0] for value in values], rel=1e-6)
    rows = browser.texts("#layers > div:first-child tbody tr")
    assert len(rows) == len(layers) + 1
    for layer, row in zip(layers, rows[:-1], strict=True):
        assert row.startswith(f"{layer['name']}{layer['cost'][0]:,}{layer['cost'][1]:,}")
    whole = content["machines"][content["best"]]["costs"][content["largest"]]
    assert rows[-1].startswith(f"from start to interrupt{whole[0]:,}{whole[1]:,}")


def test_shares_fill_the_axis(browser):
    browser.click(*browser.centre("#shares"))
    for chart in ("energy", "cycles"):
        bars = browser.eval(
            f"all('#{chart} svg[role=img] rect.mark').map((e) => ['x', 'width', 'y'].map((n) => number(e, n)))"
        )
        ends = {}
        for x, width, y in bars:
            ends[y] = max(ends.get(y, 0), x + width)
        assert len(ends) > 1 and list(ends.values()) == pytest.approx([max(ends.values())] * len(ends))


def test_the_roofline_has_a_point_for_each_layer_with_macs(browser, content):
    layers = content["details"][str(content["best"])]["layers"][content["largest"]]
    with_macs = sum(1 for layer in layers if layer["cost"][0])
    assert browser.count("#roofline circle.mark") == with_macs < len(layers)
    browser.mouse("mouseMoved", *browser.centre("#roofline path.mark"))
    macs, cycles, dram, *_ = content["machines"][content["best"]]["costs"][content["largest"]]
    assert f"{macs / cycles:.5g} MACs per cycle" in browser.text(TIP)
    assert f"{macs / dram:.5g} MACs per DRAM byte" in browser.text(TIP)


def test_area_by_component_adds_up(browser, content):
    area = content["details"][str(content["best"])]["area"]
    gates = [resource["key"] for resource in content["resources"]].index("gates")
    total = sum(counts[gates] for counts in area.values())
    assert browser.text("#area figcaption") == f"Area by component: {total:,} NAND2"
    assert len(browser.texts("#area svg rect.mark")) == sum(1 for counts in area.values() if counts[gates]) == 2
    choose(browser, "pick-resource", "sram_bits")
    assert len(browser.texts("#area svg rect.mark")) == 1


def test_a_layer_is_drawn_on_the_array(browser, content, sweep):
    choose(browser, "pick-workload", 1)
    facts = content["details"][str(content["best"])]["layers"][1]
    names = [layer["name"] for layer in facts]
    assert browser.texts("#pick-layer option") == names
    conv2 = names.index("conv2")
    choose(browser, "pick-layer", conv2)
    layer = facts[conv2]["array"]
    conv = next(layer for layer in step_layers(sweep.space.workloads[1]) if layer.name == "conv2")
    assert (layer["C"], layer["M"], layer["E"]) == (conv.input_shape[2], conv.output_shape[2], conv.output_shape[0])
    assert len(browser.texts("#array svg rect.pe")) == layer["pe_rows"] * layer["pe_columns"]
    heads = [text for text in browser.texts("#array svg text") if re.match(r"c\d+ r\d+", text)]
    assert len(heads) == layer["active_rows"]
    for row, head in enumerate(heads):
        pairs = [slot * layer["active_rows"] + row for slot in range(layer["slots"])]
        held = [pair for slot, pair in enumerate(pairs) if slot < layer["slots"] - 1 or row < layer["last_rows"]]
        first = ", ".join(f"c{pair // layer['R']} r{pair % layer['R']}" for pair in held[:4])
        assert head == first + (f" +{len(held) - 4}" if len(held) > 4 else "")
    columns = [text for text in browser.texts("#array svg text") if re.match(r"m\d+", text)]
    assert len(columns) == layer["strip_columns"]
    for column, text in enumerate(columns):
        group, entry = divmod(column, layer["images"] * layer["rows"])
        filters = range(group * layer["p"], min((group + 1) * layer["p"], layer["M"]))
        numbers = f"{filters[0]}–{filters[-1]}" if len(filters) > 1 else f"{filters[0]}"
        assert text == f"m{numbers} n{entry // layer['rows']} e{entry % layer['rows']}"
    browser.mouse("mouseMoved", *browser.centre("#array svg rect.pe"))
    assert f"channel c0, filter row r0: ifmap row {-layer['padding'][0]}" in browser.text(TIP)
    words = browser.text("#array dl")
    for letter, value in (("p", layer["p"]), ("q", layer["slots"])):
        assert f"{letter} = {value}\n" in words


def test_every_machine_and_layer_can_be_shown(browser, content):
    for index, details in content["details"].items():
        choose(browser, "pick-machine", index)
        for workload, layers in enumerate(details["layers"]):
            choose(browser, "pick-workload", workload)
            for number in range(len(layers)):
                choose(browser, "pick-layer", number)
    assert browser.console == []
    assert browser.eval("/NaN|undefined|Infinity/.exec(document.querySelector('main').innerHTML)") is None


@pytest.mark.parametrize("width", [360, 768])
def test_a_phone_needs_no_sideways_scrolling(chromium, report, content, width):
    chromium.open(report, width=width, height=740, touch=True)
    wide = "document.documentElement.scrollWidth"
    assert chromium.eval(wide) <= width
    chromium.eval("document.getElementById('rows-all').click()")
    chromium.eval("all('details').forEach((e) => { e.open = true; })")
    assert chromium.eval(wide) <= width
    for workload, layers in enumerate(content["details"][str(content["best"])]["layers"]):
        choose(chromium, "pick-workload", workload)
        for number in range(len(layers)):
            choose(chromium, "pick-layer", number)
            assert chromium.eval(wide) <= width
    choose(chromium, "pick-machine", alone(content))
    assert chromium.eval(wide) <= width
    zoom = "e.ownerSVGElement.getBoundingClientRect().width / e.ownerSVGElement.viewBox.baseVal.width"
    sizes = chromium.eval(
        f"all('#array text, .plot text').map((e) => parseFloat(getComputedStyle(e).fontSize) * {zoom})"
    )
    assert min(sizes) >= 9.5


def test_printing_keeps_the_tables_and_drops_the_controls(chromium, report, content):
    chromium.open(report, scheme="dark")
    chromium.media("print", "dark")
    assert not chromium.eval("all('.controls, #tip, select').some(shown)")
    front = [machine["id"] for machine in content["machines"] if machine["front"]]
    assert sorted(table_ids(chromium)) == sorted(front)
    assert chromium.eval("all('#machines td').every(shown)")
    assert chromium.eval("getComputedStyle(document.getElementById('machines')).maxHeight") == "none"
    assert chromium.eval("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not chromium.eval("all('#layers td').every(shown)")
    chromium.eval("dispatchEvent(new Event('beforeprint'))")
    assert chromium.eval("all('#layers td, #skipped td').every(shown)")
    chromium.eval("dispatchEvent(new Event('afterprint'))")
    assert chromium.count("details[open]") == 0
    pdf = chromium.pdf()
    assert pdf.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) > 1


def luminance(colour):
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    """Return the contrast of two colours as the Web Content Accessibility Guidelines 2.1 define it."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_and_marks_an_outline(chromium, report, scheme):
    chromium.open(report, scheme=scheme)
    paper = chromium.eval("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.1) == (scheme == "dark")
    panel = chromium.eval("getComputedStyle(document.querySelector('th')).backgroundColor")
    for selector, what, ground, least in (
        ("body", "color", paper, 7),
        (".hint", "color", paper, 4.5),
        ("th small", "color", panel, 4.5),
        ("td button", "color", panel, 4.5),
        ("svg .muted", "fill", paper, 4.5),
        (".mark", "stroke", paper, 3),
        (".steps", "stroke", paper, 3),
        (".ring", "stroke", paper, 3),
    ):
        colour = chromium.eval(f"getComputedStyle(document.querySelector('{selector}')).{what}")
        assert contrast(colour, ground) >= least, (selector, colour, ground)


def test_every_control_has_a_name(browser):
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "checkbox", "radio", "image", "region", "group"}
    nodes = [node for node in tree if not node["ignored"] and node.get("role", {}).get("value") in roles]
    unnamed = [node for node in nodes if node["role"]["value"] != "group" and not node.get("name", {}).get("value")]
    assert len(nodes) > 20 and unnamed == []
    assert browser.count("h1") == 1
    assert json.dumps(browser.texts("h2")).count("One machine") == 1


def test_one_workload_and_one_machine_are_drawn(chromium, tmp_path):
    space = page_space(
        workloads=page_space().workloads[2:], fields={"rows": (2,)}, base=preset("tiny"), objectives=("energy",)
    )
    data = read(write_store(tmp_path, space, broken=0))
    path = tmp_path / "report.html"
    path.write_text(page(data, page_data(data)), encoding="utf-8")
    chromium.open(path)
    assert chromium.console == [] and table_ids(chromium) == [0]
