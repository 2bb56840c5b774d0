"""Runs ZigZag's mapping search on layers; started by sim.study.speed with the Python that has zigzag-dse.

Reads ``{"layers": [...], "batch": N}`` from standard input, writes ``{"seconds": s, "version": v}``: the time of the
searches alone, without imports, on the Eyeriss-like machine that comes with ZigZag and with its default settings.
"""

import contextlib
import importlib.metadata
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

import zigzag
from zigzag.api import get_hardware_performance_zigzag

INPUTS = Path(zigzag.__file__).parent / "inputs"


def workload(layer: dict, batch: int) -> list[dict]:
    """Return one layer in ZigZag's format."""
    sizes = {
        "B": batch,
        "G": layer["groups"],
        "K": layer["filters"],
        "C": layer["channels"],
        "OY": layer["ofmap_rows"],
        "OX": layer["ofmap_columns"],
        "FY": layer["window"],
        "FX": layer["window"],
    }
    stride = layer["stride"]
    return [
        {
            "id": 0,
            "name": layer["name"],
            "operator_type": "Conv",
            "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
            "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
            "loop_dims": list(sizes),
            "loop_sizes": list(sizes.values()),
            "operand_precision": {"W": 8, "I": 8, "O": 16, "O_final": 8},
            "operand_source": {"W": 0, "I": 0},
        }
    ]


def main() -> None:
    """Search every layer and say how long it took."""
    request = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        for layer in request["layers"]:
            start = time.process_time()
            get_hardware_performance_zigzag(
                workload=workload(layer, request["batch"]),
                accelerator=str(INPUTS / "hardware" / "eyeriss_like.yaml"),
                mapping=str(INPUTS / "mapping" / "default.yaml"),
                opt="energy",
                dump_folder=folder,
            )
            seconds += time.process_time() - start
    json.dump({"seconds": seconds, "version": importlib.metadata.version("zigzag-dse")}, sys.stdout)


if __name__ == "__main__":
    main()
