"""Signatures of the AXI4 and AXI4-Lite interfaces, all seen from the master."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig

BURST_INCR = 1
"""AxBURST of a burst with ascending addresses, the only kind in use."""

PAGE_BYTES = 4096
"""An AXI4 burst must not cross a multiple of this."""


def axi_read_signature(config: AcceleratorConfig) -> wiring.Signature:
    """Return the read half of an AXI4 interface: channels AR and R.

    Parameters
    ----------
    config : AcceleratorConfig
        Gives the address and data width.
    """
    return wiring.Signature(
        {
            "araddr": Out(config.address_bits),
            "arlen": Out(8),
            "arsize": Out(3),
            "arburst": Out(2),
            "arid": Out(2),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(config.bus_bits),
            "rresp": In(2),
            "rlast": In(1),
            "rid": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


def axi_write_signature(config: AcceleratorConfig) -> wiring.Signature:
    """Return the write half of an AXI4 interface: channels AW, W and B.

    Parameters
    ----------
    config : AcceleratorConfig
        Gives the address and data width.
    """
    return wiring.Signature(
        {
            "awaddr": Out(config.address_bits),
            "awlen": Out(8),
            "awsize": Out(3),
            "awburst": Out(2),
            "awid": Out(1),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(config.bus_bits),
            "wstrb": Out(config.bus_bytes),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bid": In(1),
            "bvalid": In(1),
            "bready": Out(1),
        }
    )


def axi_lite_signature() -> wiring.Signature:
    """Return an AXI4-Lite interface with 32 data bits and 4 KiB of addresses."""
    return wiring.Signature(
        {
            "awaddr": Out(12),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(12),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(32),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )
