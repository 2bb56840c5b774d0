"""What the performance page says between its tables."""

from __future__ import annotations

from golden.eyeriss import PUBLISHED
from sim.benchmark.results import EXECUTE_ACCESSES

HEAD = "Written by `make bench` from the runs described below; do not edit. The figures are in `docs/performance.json`."

METHOD = """\
On RTL: the generated Verilog runs under Verilator beside a model of DRAM, from start to interrupt, by the machine's own
counters. In every run each output byte is compared with the golden model, each counter and the cycles with the cost
model.

- Machine: `{name}`, {rows} x {cols} PEs, int8. The single layers run on the same machine with 12 x 12 PEs.
- Global buffer: {buffer:.1f} KiB ({split} KiB). The PEs' scratchpads have {scratchpads:.1f} KiB together.
- DRAM: one beat of 8 bytes a cycle, shared by reads and writes; latency {latency} cycles.
- DRAM bytes include ifmaps, residuals, ofmaps, filters, parameters, commands, and the counters' snapshots ("marks").
- Utilisation: MACs / (PEs x cycles from start to interrupt). MACs include padded taps, for Eyeriss as well.
- Weights and activations are random, seeded. About half of the activations are zero; nothing is gained from that.
- CONV rows run the CONV layers one after the other, each with an ifmap of its own, in one program; VGG-16 has a program
  for each layer, so each pays for its own start and end. Whole networks include pooling, additions and FC layers.
- MB are 10^6 bytes."""

SUMMARY = """\
"equal": every output byte, counter and cycle of the run is as predicted. VGG-16 at batch 3 is predicted by the cost
model and not run. Eyeriss's utilisation is computed from its published total latency, which includes DRAM traffic that
processing does not hide; it ran at 200 MHz with 16-bit operands. NNgen 1.3.4 with 144 multipliers was measured on the
same layers."""

WORDS = f"""\
Eyas computes on 8 bits, Eyeriss on 16: the same number of words is half as many bytes. Eyeriss's published DRAM
traffic is run-length coded, which Eyas's is not. Its dense traffic is computed from its published mapping, not
measured; that of VGG-16 is not known, as its mapping is not published.

Global-buffer accesses of Eyas are those by execute, whatever their width, each one bank access:
{", ".join(f"`{name}` ({width} bytes)" for name, width in EXECUTE_ACCESSES.items())}.
One access moves eight activations or weights, or one psum, so there are fewer accesses of more bytes. All bytes of an
access count, also those that nobody uses. Eyeriss's column has ifmaps and psums, but no filter reads.

Sources: AlexNet {PUBLISHED["alexnet"].source}. VGG-16 {PUBLISHED["vgg16"].source}."""

LAYERS = """\
A layer's cycles run from the end of the layer before to its own. Lower bound: 2 x MACs / sqrt(R x S / U^2 x on-chip
words) + ofmaps, in words of 8 bits, with global buffer and scratchpads as one memory of which every byte holds a word
(Chen, Han, Wang, HPCA 2020). "Each datum once" reads every filter and ifmap and writes every ofmap once. DRAM traffic
of Eyas includes commands, parameters and marks, which neither of the two counts."""

BUFFER = """\
By execute: what stage, deliver and mac access. What load writes into the buffer and drain reads from it is beside it,
in accesses. Eyeriss's words have 16 bits."""

VGG = """\
Batch 1 ran on RTL. The columns without "batch 1" are those of batch 3, as Eyeriss ran it; Eyas's are predicted by the
cost model."""

DEPTHWISE = """\
What a layer needs at least: array: cycles with a multiply-accumulate (`cycle.execute.busy`); DRAM beats: its bytes / 8;
lane reads: cycles in which the ifmap lanes deliver (`array.ifmap.multicast`); drain: cycles in which it reads psums
(`parameter.read`). The ratio is the layer's cycles over the greatest of these; the bar is {bar:g}.

In the network, layers overlap. Each engine counts up to its own mark, and load is ahead of the drain that ends a layer:
a part of what a layer counts has happened under the one before, so a ratio can be below 1 and the cost be another
layer's. Two more figures: the whole network takes {whole:.3f} x the sum of what binds each of its layers;
and each depthwise layer also ran alone, with its start and its end. Alone, above {bar:g}: {above}."""

CYCLES = """\
In percent of the cycles from start to interrupt. `busy` issues multiply-accumulates; `flush`: only psums leave; `hold`:
a short pass waits for the psum chain; `launch`: configures, marks or resumes; the four waits are for commands, for
drain to free psum banks, for filters and for ifmap columns. Start and end: before the first command, and the last
strip's drain. Utilisation is the share of `busy` times the share of MAC slots that are filled then. The DRAM bus is at
work for one beat per 8 bytes."""

SPEED = "Verilator, one thread; from start to interrupt, without compiling the simulation and the program."
