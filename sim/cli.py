"""The ``eyas`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from compiler.graph import Network, NetworkError
from compiler.networks import NETWORKS, digits, layer_inputs, network, network_input
from compiler.program import compile_layers, compile_network
from golden.energy import EnergyError
from golden.machine import LATENCY_CYCLES
from hw.config import PRESETS, AcceleratorConfig, ConfigError, preset
from hw.spec import SpecError
from sim.area import command as area_command
from sim.benchmark.items import ITEMS
from sim.benchmark.run import run_bench
from sim.build import TOOLS, check_tools
from sim.describe import describe
from sim.page import command as page_command
from sim.pictures import PlotError
from sim.place import place
from sim.place import text as placement_text
from sim.report import Report, make_report, table, verdict, write_report
from sim.run import Outcome, Task, layers_task, network_task, run_tasks
from sim.simulator import SimulationError
from sim.study import command as study_command
from sim.sweep import command as sweep_command
from sim.sweep.errors import SweepError
from sim.synth import SynthesisError, csv_table, synthesise
from sim.synth import table as area_table
from sim.verilog import write

#: Exit statuses: a result differs from its prediction; the user asked for something that cannot be.
DIFFERENT, BAD_INPUT = 1, 2
_USER_ERRORS = (
    *(ConfigError, EnergyError, NetworkError, PlotError, SimulationError, SpecError, SweepError, SynthesisError),
)
#: Commands that have a package of their own.
_PACKAGES = {"sweep": sweep_command, "report": page_command, "area": area_command, "study": study_command}


class UsageError(ConfigError):
    """An option whose value is not allowed."""


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    root = argparse.ArgumentParser(prog="eyas", description="Row-stationary CNN accelerators: generate, run, sweep.")
    commands = root.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a network on a machine's Verilog and compare it with the prediction")
    run.add_argument("network", metavar="NETWORK", help=f"{', '.join(NETWORKS)}, or a layer such as conv:C=16,M=16,...")
    _add_config(run)
    run.add_argument("--batch", type=int, default=1, metavar="N", help="images per program (default 1)")
    run.add_argument("--images", type=int, metavar="N", help="images in all, in batches (default: one batch)")
    run.add_argument("--layers", metavar="A,B", help="run these layers, each with an input of its own")
    run.add_argument("--simulator", choices=sorted(TOOLS), default="verilator")
    run.add_argument("--latency", type=int, default=LATENCY_CYCLES, metavar="CYCLES", help="DRAM latency (default 40)")
    run.add_argument("--waves", action="store_true", help="record waves")
    run.add_argument("--out", type=Path, metavar="DIR", help="default build/CONFIG/NETWORK")
    for package in _PACKAGES.values():
        package.add_parser(commands)
    bench = commands.add_parser("bench", help="run the benchmark, or go on with it; figures beside their bars")
    bench.add_argument("items", nargs="*", metavar="ITEM", help=f"{', '.join(item.name for item in ITEMS)} (all)")
    bench.add_argument("--out", type=Path, default=Path("build/bench"), metavar="DIR", help="default build/bench")
    bench.add_argument(
        "--documents", type=Path, metavar="DIR", help="write the performance page (needs the extra plot)"
    )
    commands.add_parser("configs", help="list the presets")
    _add_config(commands.add_parser("describe", help="one machine in numbers and a picture"), positional=True)
    verilog = commands.add_parser("verilog", help="write eyas.v, eyas.json and eyas.h")
    _add_config(verilog, positional=True)
    verilog.add_argument("--out", type=Path, metavar="DIR", help="default build/CONFIG")
    synth = commands.add_parser("synth", help="area on ECP5 (needs the extra synth)")
    _add_config(synth, positional=True)
    synth.add_argument("--place", action="store_true", help="place and route as well, for the clock rate (slow)")
    synth.add_argument("--out", type=Path, metavar="DIR", help="default build/CONFIG")
    return root


def _add_config(command: argparse.ArgumentParser, *, positional: bool = False) -> None:
    names = ", ".join(PRESETS)
    if positional:
        command.add_argument("config", metavar="CONFIG", help=names)
    else:
        command.add_argument("--config", default="small", metavar="CONFIG", help=f"{names} (default small)")
    command.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 if results differ, 2 if the input cannot be used."""
    options = parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options)
    except _USER_ERRORS as error:
        print(f"eyas: {error}", file=sys.stderr)
        return BAD_INPUT


def _config(options: argparse.Namespace) -> AcceleratorConfig:
    changes = {}
    for text in options.set:
        field, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set must be FIELD=VALUE, not {text!r}")
        changes[field] = value
    config = preset(options.config)
    return config.with_fields({"name": f"{config.name}-custom", **changes}) if changes else config


def _folder(options: argparse.Namespace, config: AcceleratorConfig, name: str = "") -> Path:
    safe = name.replace(":", "_").replace(",", "_").replace("=", "")
    return options.out if options.out is not None else Path("build") / config.name / safe


def _run(options: argparse.Namespace) -> int:
    config, net = _config(options), network(options.network)
    images = options.images if options.images is not None else options.batch
    if options.batch < 1:
        raise UsageError(f"--batch must be at least 1, not {options.batch}")
    if images < 1 or images % options.batch:
        raise UsageError(f"--images must be a multiple of --batch {options.batch}, not {images}")
    if options.latency < 1:
        raise UsageError(f"--latency must be at least 1, not {options.latency}")
    check_tools(options.simulator)
    tasks = _layer_tasks(net, config, options) if options.layers else _network_tasks(net, config, options, images)
    folder = _folder(options, config, net.name)
    progress = _Progress(len(tasks))
    outcomes = run_tasks(
        config,
        tasks,
        work=folder / "simulation",
        simulator=options.simulator,
        latency_cycles=options.latency,
        waves=options.waves,
        progress=progress,
    )
    progress.end()
    labels = digits()[1][:images] if net.name == "lenet5" and not options.layers else None
    report = make_report(config, outcomes, simulator=options.simulator, labels=labels)
    return _finish(report, outcomes, folder)


def _finish(report: Report, outcomes: Sequence[Outcome], folder: Path) -> int:
    path = write_report(report, folder)
    print(f"{report['network']} on {report['config']}, {report['images']} image(s) in batches of {report['batch']}\n")
    print(table(report), verdict(report), f"report: {path}", sep="\n\n")
    different = [outcome for outcome in outcomes if not outcome.equal]
    if different:
        print(f"\n{different[0].differences()}", file=sys.stderr)
    return DIFFERENT if different else 0


def _layer_tasks(net: Network, config: AcceleratorConfig, options: argparse.Namespace) -> list[Task]:
    names = options.layers.split(",")
    program = compile_layers(net, names, config, batch=options.batch)
    return [layers_task(program, [ifmap for name in names for ifmap in layer_inputs(net, name, options.batch)])]


def _network_tasks(net: Network, config: AcceleratorConfig, options: argparse.Namespace, images: int) -> list[Task]:
    program = compile_network(net, config, batch=options.batch)
    inputs = network_input(net, images)
    return [network_task(program, batch) for batch in np.split(inputs, images // options.batch)]


class _Progress:
    """A line on standard error that says how far the simulation is."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._shown = False

    def __call__(self, job: int, cycles: int) -> None:
        self._shown = True
        text = f"simulating program {job + 1} of {self._jobs}, {cycles:,} cycles"
        print(f"\r{text}" if sys.stderr.isatty() else text, end="" if sys.stderr.isatty() else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        """End the line."""
        if self._shown and sys.stderr.isatty():
            print(file=sys.stderr)


def _bench(options: argparse.Namespace) -> int:
    return run_bench(options.out, only=options.items, documents=options.documents)


def _configs(_options: argparse.Namespace) -> int:
    for config in PRESETS.values():
        kib = config.global_buffer_bytes / 1024
        print(f"{config.name:10s} {config.rows} x {config.cols} PEs, {kib:g} KiB global buffer")
    return 0


def _describe(options: argparse.Namespace) -> int:
    print(describe(_config(options)))
    return 0


def _verilog(options: argparse.Namespace) -> int:
    config = _config(options)
    folder = _folder(options, config)
    write(config, folder)
    print(f"{folder}: eyas.v, eyas.json, eyas.h")
    return 0


def _synth(options: argparse.Namespace) -> int:
    config = _config(options)
    usages = synthesise(config)
    folder = _folder(options, config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "area.csv").write_text(csv_table(usages))
    print(area_table(usages), f"table: {folder / 'area.csv'}", sep="\n")
    if options.place:
        print(placement_text(place(config, folder=folder / "place")))
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    **{name: package.run for name, package in _PACKAGES.items()},
    "run": _run,
    "bench": _bench,
    "configs": _configs,
    "describe": _describe,
    "verilog": _verilog,
    "synth": _synth,
}

if __name__ == "__main__":
    sys.exit(main())
