"""Runs nn_dataflow's schedule search on its own AlexNet; sim.study.speed starts it with a Python that has nn_dataflow.

Reads ``{"batch": N, "rows": .., "cols": .., "rf_words": .., "buffer_words": .., "solve": bool}`` from standard input,
writes ``{"seconds": s, "version": v}``: the processor time of the search alone, without imports.
"""

import json
import sys
import time

from nn_dataflow.core import (
    Cost,
    MapStrategyEyeriss,
    NNDataflow,
    NodeRegion,
    Option,
    PhyDim2,
    Resource,
)
from nn_dataflow.nns import import_network
from nn_dataflow.version import get_version

# Eyeriss's normalised costs (DRAM, buffer, array, RF), the defaults of nn_dataflow's own command line.
COST = Cost(mac_op=1, mem_hier=(200, 6, 2, 1), noc_hop=10, idl_unit=0)


def resource(request: dict) -> Resource:
    """Return one node with the array and buffers asked for."""
    one = PhyDim2(1, 1)
    corners = NodeRegion(dim=PhyDim2(2, 2), origin=PhyDim2(0, 0), dist=PhyDim2(0, 0), type=NodeRegion.DRAM)
    return Resource(
        proc_region=NodeRegion(dim=one, origin=PhyDim2(0, 0), type=NodeRegion.PROC),
        dram_region=corners,
        src_data_region=corners,
        dst_data_region=corners,
        dim_array=PhyDim2(request["rows"], request["cols"]),
        size_gbuf=request["buffer_words"],
        size_regf=request["rf_words"],
        array_bus_width=float("inf"),
        dram_bandwidth=float("inf"),
        no_time_mux=False,
    )


def main() -> None:
    """Search a schedule and say how long it took."""
    request = json.load(sys.stdin)
    options = Option(sw_gbuf_bypass=(True,) * 3, sw_solve_loopblocking=request["solve"], nprocesses=1)
    scheduler = NNDataflow(import_network("alex_net"), request["batch"], resource(request), COST, MapStrategyEyeriss)
    start = time.process_time()
    tops, _ = scheduler.schedule_search(options)
    if not tops:
        sys.exit("no schedule found")
    json.dump({"seconds": time.process_time() - start, "version": get_version()}, sys.stdout)


if __name__ == "__main__":
    main()
