"""Energy of a run: counts times a cost table, relative to one multiply-accumulate.

The table is Eyeriss's: Chen, Emer, Sze, "Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow for
Convolutional Neural Networks", ISCA 2016, Table IV (normalised to a MAC, from a commercial 65 nm process), also in
the survey by Sze et al., "Efficient Processing of Deep Neural Networks", Proc. IEEE 2017. A cost is per word of the
operand's width, so an access to several operands counts each of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from hw.config import AcceleratorConfig

#: Cost of one word at each level, a MAC being 1.
COSTS: dict[str, int] = {"mac": 1, "rf": 1, "array": 2, "glb": 6, "dram": 200}


def words(counters: Mapping[str, int], config: AcceleratorConfig) -> dict[str, int]:
    """Return how many operands move, or are computed, at each level of :data:`COSTS`.

    The array moves what PEs receive: ifmap and filter words on the buses, psums from row to row. What is no operand
    in DRAM (parameters, commands, marks) counts in words of an activation. The parameter memory and the
    requantisation have no place in the table and are left out.

    Parameters
    ----------
    counters : mapping of str to int
        Counts by the names of :data:`hw.spec.COUNTERS`.
    config : AcceleratorConfig
        The machine.
    """
    weights, activations = config.weights_per_word, config.channel_block

    def total(*names: str) -> int:
        return sum(counters[name] for name in names)

    delivered = counters["pe.ifmap.write"] + weights * counters["pe.filter.write"]
    activation_bytes = (
        *("dram.ifmap.read_bytes", "dram.residual.read_bytes", "dram.ofmap.write_bytes"),
        *("dram.parameter.read_bytes", "dram.command.read_bytes", "dram.mark.write_bytes"),
    )
    return {
        "mac": total("mac.done", "pool.done"),
        "rf": delivered + total("pe.filter.read", "pe.ifmap.read", "pe.psum.read", "pe.psum.write"),
        "array": delivered + counters["array.psum.hop"],
        "glb": activations * total("glb.ifmap.read", "glb.ifmap.write")
        + weights * total("glb.filter.read", "glb.filter.write")
        + total("glb.psum.read", "glb.psum.write", "glb.psum.drain"),
        "dram": total(*activation_bytes) // config.activation_bytes
        + counters["dram.filter.read_bytes"] * 8 // config.weight_bits,
    }


def energy(counters: Mapping[str, int], config: AcceleratorConfig) -> dict[str, int]:
    """Return the energy spent at each level, in multiply-accumulates.

    Parameters are those of :func:`words`.
    """
    return {level: COSTS[level] * count for level, count in words(counters, config).items()}
