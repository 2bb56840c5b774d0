"""Reference pages, header and description against the declarations they come from."""

import json
import random
import re
import subprocess
from pathlib import Path

import pytest

from hw import docs, spec
from hw.config import PRESETS
from hw.header import c_header, field_offsets

PAGES = docs.reference_pages()


def _rows(page: str) -> list[list[str]]:
    """Cells of all table lines except heads and rules."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    rules = {i for i, line in enumerate(lines) if line.startswith("| ---")}
    kept = (line for i, line in enumerate(lines) if i not in rules and i + 1 not in rules)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in kept]


def test_commands_page_gives_the_bits_that_encode_uses() -> None:
    """Take every bit range from the page and find the field's value there in an encoded command."""
    rng = random.Random(4)
    sections = PAGES["commands.md"].split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == [command.name for command in spec.COMMANDS]
    for command, section in zip(spec.COMMANDS, sections, strict=True):
        values = {field.name: rng.randint(field.minimum, field.maximum) for field in command.fields}
        word, covered = command.encode(values), 0
        rows = _rows(section)
        assert len(rows) == len(command.all_fields)
        for (bits, name, kind, _), field in zip(rows, command.all_fields, strict=True):
            high, _, low = bits.partition(":")
            low = int(low or high)
            width = int(high) - low + 1
            covered |= ((1 << width) - 1) << low
            value = word >> low & (1 << width) - 1
            expected = {"opcode": command.opcode, **values}[name.strip("`")]
            assert value == expected % (1 << width)
            assert (name, kind) == (f"`{field.name}`", "signed" if field.signed else "unsigned")
        assert word & ~covered == 0


def test_csr_page_lists_every_address_once() -> None:
    rows = _rows(PAGES["csr.md"])
    offsets = {row[1].strip("`"): int(row[0], 16) for row in rows}
    assert len(rows) == len(spec.CSRS) + len(spec.COUNTERS) == len(set(offsets.values()))
    assert all(offsets[csr.name] == csr.offset for csr in spec.CSRS)
    assert offsets["cycle.total"] == 0x100 + 8 * (len(spec.COUNTERS) - 1)
    assert {row[1]: row[3] for row in rows}["`status`"] == "0: `busy`; 1: `done`; 2: `error`"


@pytest.mark.parametrize(
    ("page", "names"),
    (
        ("counters.md", spec.COUNTER_NAMES),
        ("errors.md", [error.name for error in spec.ERRORS]),
        ("semaphores.md", list(spec.SEMAPHORES)),
    ),
)
def test_list_pages_are_complete(page: str, names: list[str]) -> None:
    rows = _rows(PAGES[page])
    column = 0 if page == "semaphores.md" else 1
    assert [row[column].strip("`") for row in rows] == list(names)
    assert all(cell for row in rows for cell in row)


def test_config_page_has_every_field_with_meaning_and_presets() -> None:
    rows = {row[0].strip("`"): row[1:] for row in _rows(PAGES["config.md"])}
    assert rows["rows"] == ["PE array size (Eyeriss: 12 x 14).", "2 to 64", "4", "6", "12"]
    assert rows["lanes"][1] == "8 to 64, a power of two"
    assert rows["activation_bits"][1] == "8, 16"
    assert 159 * 1024 < int(rows["global_buffer_bytes"][-1]) <= 160 * 1024
    assert all(cell for row in rows.values() for cell in row)
    for name, config in PRESETS.items():
        values = [row[-len(PRESETS) + list(PRESETS).index(name)] for row in rows.values()]
        assert values == [str(getattr(config, field)) for field in rows]


C_MAIN = """
#include <stdio.h>
#include "eyas.h"
static void show(const uint32_t *word)
{
    for (int i = EYAS_COMMAND_WORDS - 1; i >= 0; i--)
        printf("%08x", (unsigned)word[i]);
    printf("\\n");
}
int main(void)
{
    uint32_t word[EYAS_COMMAND_WORDS];
BODY
    return 0;
}
"""


def _c_encode(command: spec.Command, values: dict[str, int]) -> str:
    name = command.name.replace(".", "_")
    members = ", ".join(f".{field} = INT32_C({value})" for field, value in values.items() if value < 0)
    members += "".join(f", .{field} = UINT32_C({value})" for field, value in values.items() if value >= 0)
    members = members.lstrip(", ")
    return f"    {{ const struct eyas_{name} c = {{ {members} }}; eyas_encode_{name}(word, &c); show(word); }}\n"


def _run_c(tmp_path: Path, body: str) -> list[str]:
    (tmp_path / "eyas.h").write_text(c_header())
    (tmp_path / "main.c").write_text(C_MAIN.replace("BODY\n", body))
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(["gcc", *flags, "main.c", "-o", "main"], cwd=tmp_path, check=True)
    return subprocess.run(["./main"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()


def test_header_encodes_as_spec_does(tmp_path: Path) -> None:
    rng = random.Random(5)
    cases = []
    for command in spec.COMMANDS:
        bounds = [{field.name: getattr(field, bound) for field in command.fields} for bound in ("minimum", "maximum")]
        drawn = [{field.name: rng.randint(field.minimum, field.maximum) for field in command.fields} for _ in range(3)]
        cases += [(command, values) for values in bounds + drawn]
    lines = _run_c(tmp_path, "".join(_c_encode(*case) for case in cases))
    assert [int(line, 16) for line in lines] == [command.encode(values) for command, values in cases]


def test_header_constants(tmp_path: Path) -> None:
    expected = {
        "EYAS_IDENTIFIER": int.from_bytes(b"EYAS", "little"),
        "EYAS_CSR_CONTROL": 0x08,
        "EYAS_CONTROL_RESET": 2,
        "EYAS_STATUS_ERROR": 4,
        "EYAS_CSR_COUNTER + 8u * EYAS_COUNTER_CYCLE_TOTAL": 0x100 + 8 * 35,
        "EYAS_COUNTERS": 36,
        "EYAS_ERROR_WRITE_RESPONSE": 4,
        "EYAS_OPCODE_EXECUTE_PASS": 0x11,
        "EYAS_COMMAND_BYTES": 32,
    }
    lines = _run_c(tmp_path, "(void)word;(void)show;" + "".join(f'printf("%u\\n", (unsigned)({n}));' for n in expected))
    assert list(map(int, lines)) == list(expected.values())


def test_description_is_json_and_fits_the_machine() -> None:
    config = PRESETS["tiny"]
    text = docs.description(config)
    assert json.loads(json.dumps(text)).keys() == text.keys()
    ports = {port["name"]: (port["direction"], port["width"]) for port in text["ports"]}
    assert ports["axi__wstrb"] == ("out", 8)
    assert ports["axi__rdata"] == ("in", 64)
    assert ports["csr__awaddr"] == ("in", 12)
    assert ports["csr__rdata"] == ("out", 32)
    assert ports["interrupt"] == ("out", 1)
    assert len(ports) == 2 + 29 + 19 + 1
    assert text["config"]["rows"] == 4
    assert text["derived"]["channel_block"] == 8
    assert text["counters"][35] == {
        "name": "cycle.total",
        "engine": "drain",
        "unit": "cycle",
        "doc": "cycles since start, when the snapshot is taken",
        "index": 35,
        "csr_offset": 0x218,
    }
    fields = {field["name"]: field for command in text["commands"][-1:] for field in command["fields"]}
    assert (fields["opcode"]["offset"], fields["dram_address"]["offset"], fields["last"]["offset"]) == (0, 8, 40)
    assert [(f.name, o) for f, o in field_offsets(spec.COMMAND["mark"])] == [
        ("opcode", 0),
        ("dram_address", 8),
        ("last", 40),
    ]
