"""The C header ``eyas.h``: what a driver needs to write programs and to talk to the machine."""

from collections.abc import Iterable, Iterator

from hw import spec

_HEAD = """\
/* Generated from hw/spec.py by Eyas; do not edit. C99. */
#ifndef EYAS_H
#define EYAS_H

#include <stdint.h>

"""

_HELPERS = """\
/* Put the low `width` bits of `value` at bit `offset` of a command whose other bits there are zero. */
static inline void eyas_put(uint32_t word[EYAS_COMMAND_WORDS], unsigned offset, unsigned width, uint32_t value)
{
    uint64_t bits = (uint64_t)value & ((UINT64_C(1) << width) - 1);
    bits <<= offset % 32;
    word[offset / 32] |= (uint32_t)bits;
    if (offset % 32 + width > 32)
        word[offset / 32 + 1] |= (uint32_t)(bits >> 32);
}

"""


def field_offsets(command: spec.Command) -> Iterator[tuple[spec.Field, int]]:
    """Yield each field of a command, opcode first, with its least significant bit.

    Parameters
    ----------
    command : Command
        The command.
    """
    offset = 0
    for field in command.all_fields:
        yield field, offset
        offset += field.width


def c_header() -> str:
    """Return the text of ``eyas.h``.

    Per command there is a struct of its fields and a function that encodes it; values that do not fit are cut off.
    """
    parts = [_HEAD, _constants(), _csrs(), _counters(), _enum("error", spec.ERROR_CODE.items()), _HELPERS]
    return "".join(parts) + "".join(_command(command) for command in spec.COMMANDS) + "#endif\n"


def _name(name: str) -> str:
    return name.replace(".", "_")


def _define(name: str, value: str, comment: str = "") -> str:
    return f"#define EYAS_{_name(name).upper()} {value}" + (f" /* {comment} */" if comment else "") + "\n"


def _enum(name: str, values: Iterable[tuple[str, int]]) -> str:
    lines = [f"    EYAS_{_name(f'{name}.{key}').upper()} = {value},\n" for key, value in values]
    return f"enum eyas_{name} {{\n" + "".join(lines) + "};\n\n"


def _constants() -> str:
    return (
        _define("identifier", f"{spec.IDENTIFIER:#010x}u", "the value of the CSR identifier")
        + _define("version", f"{spec.VERSION}u", "of the CSR version")
        + _define("command_bytes", str(spec.COMMAND_BYTES))
        + _define("command_words", str(spec.COMMAND_BITS // 32))
        + "\n"
    )


def _csrs() -> str:
    text = ""
    for csr in spec.CSRS:
        text += _define(f"csr.{csr.name}", f"{csr.offset:#04x}u", f"{csr.access}: {csr.doc}")
        text += "".join(_define(f"{csr.name}.{bit}", f"(1u << {i})") for i, bit in enumerate(csr.bits))
    return text + "\n"


def _counters() -> str:
    return (
        _define("counters", str(spec.SNAPSHOT_BEATS), "counters in a snapshot, 8 bytes each")
        + _define("csr.counter", f"{spec.COUNTER_OFFSET:#x}u", "low word of counter 0; its high word 4 bytes on")
        + "\n"
        + _enum("counter", ((name, i) for i, name in enumerate(spec.COUNTER_NAMES)))
    )


def _command(command: spec.Command) -> str:
    name = _name(command.name)
    members, puts = "", ""
    for field, offset in field_offsets(command):
        value = f"EYAS_OPCODE_{name.upper()}"
        if field is not spec.OPCODE:
            members += f"    {'' if field.signed else 'u'}int32_t {field.name}; /* {field.doc} */\n"
            value = f"{'(uint32_t)' if field.signed else ''}command->{field.name}"
        puts += f"    eyas_put(word, {offset}, {field.width}, {value});\n"
    return (
        f"/* {command.doc} */\n"
        + _define(f"opcode.{command.name}", f"{command.opcode:#04x}u")
        + f"struct eyas_{name} {{\n{members}}};\n\n"
        f"static inline void eyas_encode_{name}(\n"
        f"    uint32_t word[EYAS_COMMAND_WORDS], const struct eyas_{name} *command)\n"
        "{\n"
        "    for (int i = 0; i < EYAS_COMMAND_WORDS; i++)\n"
        f"        word[i] = 0;\n{puts}"
        "}\n\n"
    )
