"""What the dataflow page says between its tables."""

from __future__ import annotations

from golden.dataflows.published import PUBLISHED

HEAD = """\
Written by `eyas study dataflows --documents docs`; do not edit. Anyone can run it: it takes a minute and needs no
simulator."""

QUESTION = f"""\
A dataflow says which data stays where while a layer is computed. Row stationary, as Eyeriss and Eyas compute, is
compared with weight stationary, three kinds of output stationary and no local reuse: same PEs, same storage area, same
cost of an access. This is the comparison of {PUBLISHED.source}, made again from its text. Each dataflow's mapping is
searched for each layer; no cost or size is tuned to the published figures."""

SUMMARY = f"""\
AlexNet's CONV layers, {PUBLISHED.pes} PEs, batch {PUBLISHED.batch}. Energy per multiply-accumulate, of row stationary
at batch 1 as 1; each access costs what `eyeriss` says ([below](#energy-tables)). PEs at work: average over the time."""

_COMMON = "DRAM accesses agree; the energy is above by what all are above."

REASONS = {
    "RS": "It is divided by itself at batch 1. Were the unit larger, the energy would be {rs_percent} % from the "
    "published one: at batch 16, too, the search finds a mapping that is better than the published one.",
    "OS_A": "Its RFs take area from the buffer, and how many words they need is not published. With 49 words, 47 of "
    "CONV4's filters fit beside the ifmaps, which are read five times; with 48 filters it would be four. With RFs of "
    "45 words they fit ([below](#what-the-paper-leaves-open)).",
    "OS_B": _COMMON,
    "OS_C": _COMMON,
    "WS": _COMMON,
    "NLR": _COMMON,
}

UNIT = """\
All energies but that of RS are above, by {low:.1f} to {high:.1f} %; the median of the six deviations is
{median:+.1f} %. The unit is likely the reason. The search for RS's mappings tries all part sizes, so RS at batch 1 is
as good as it can be in this model; the scripts named below search with a genetic algorithm, which may miss the best.
Were the unit {median:.1f} % larger, {near} of the six energies would be within 0.2 % of the published ones."""

MODEL = """\
A datum's reuse is split into a x b x c x d over DRAM, global buffer, array (PE to PE) and RF. An input costs
a EC(DRAM) + ab EC(buffer) + abc EC(array) + abcd EC(RF), where a level with a factor of 1 is passed by and costs
nothing; a psum costs (2a - 1) EC(DRAM) + 2a(b - 1) EC(buffer) + ab(c - 1) EC(array) + 2abc(d - 1) EC(RF) (equations 3
and 4). Words are counted, so that lines shared by two tiles are read twice and parts at edges may be smaller. The
buffer keeps nothing from a block of the ofmap to the next.

- **RS**: a PE slides a row of filters along a row of ifmaps. Its RF holds p x q filter rows, windows of q channels and
  p psums. A set of R x e PEs makes e lines; r sets add up channels, t sets make other filters' ofmaps. The buffer holds
  the psums of m filters, n images and e lines, and the ifmaps of a pass; filters go from DRAM to the RFs.
- **WS**: a PE holds one weight for the whole batch; pixels are broadcast; r channels and t filters are in the array.
  Psums go along a row of R PEs, then wait in the buffer for the pixels of the next line.
- **OS_A**: n images' tiles of e x f pixels of one channel are in the array; ifmaps go from PE to PE; the buffer holds
  m whole filters and the tiles' ifmaps.
- **OS_B**: the same with tiles of f pixels of one line, for p channels; lines are read again for each filter row.
- **OS_C**: one pixel, of p channels and n images; without convolutional reuse.
- **NLR**: no RF; p filters and q channels are in the array; weights come from the buffer for each MAC, psums go back
  to it for each filter tap."""

STORAGE = f"""\
The area of 512 bytes of RF per PE and a buffer as large as all RFs together is given to each dataflow; what its RFs
leave is buffer. Published: the largest buffer is up to {PUBLISHED.buffer_ratio:g} times the smallest, the storage
differs by up to {PUBLISHED.difference_kilobytes:g} kB (section VI-B); here {{ratio:.2f}} times and
{{difference:.0f}} KiB. A word has 16 bits."""

OPEN = """\
What the paper leaves open, and how it is taken here:

- **Groups.** Table II lists CONV2, CONV4 and CONV5 with the channels of one group and the filters of both. Here the
  groups are computed one after the other.
- **Area.** Fig. 7a gives the area per byte of memories as a curve. The figures here are from the analysis scripts at
  github.com/ominux/eyeriss-dataflow ("CNN Flow Analysis", no author named). Their formulas also helped to read what
  the text says briefly: which data a buffer holds, RF sizes, the psums of WS.
- **RF of OS_A and OS_B.** The text asks for "additional RF storage for ifmap buffering" without a size. Here a psum
  and U words for the next column, in OS_A also U x R for the next row, for the layer that needs most (CONV1).
- **Psums of WS between PE rows.** "Passed to its neighbor PE or stored back to the global buffer": here the first along
  a row, the second from row to row, as the lines between them are longer than a PE has room for. WS needs the psums of
  the whole batch in the buffer.
- **Batch of OS_C.** The text folds in filters, images and channels "for all of the dataflows", so PEs compute several
  images at once here too. In the scripts it is one at a time; that reading was left as it misses both published
  figures (last row).
- **A level without reuse** is charged nothing. The paper says so of the RF (footnote to equation 3) as an instance.

Each of these but the area, changed alone:"""

VARIANTS = """\
The order depends on two of them: with psums that cost nothing between the PE rows, WS is better than OS_C; with one
image at a time, OS_C is the worst."""

MAPPINGS = """\
Reuse is a x b x c x d. The factors are averages: at the edges of a plane a pixel is used less often, and the last tile
may be smaller."""

SCALED = """\
Energy per MAC, of row stationary on 256 PEs at batch 1 as 1. Storage grows with the PEs. The delay is the inverse of
the PEs at work; data is taken to arrive in time. WS cannot map a layer if the psums of the batch do not fit."""

FULLY_CONNECTED = """\
AlexNet's FC layers on 1024 PEs whose RFs are those for the CONV layers; of row stationary at batch 16 as 1."""

EYAS = """\
The same layers on Eyas's own machine, in another way: not equations, but the counters of its exact cost model, which
equal those of its Verilog, times the same table. `{config}` has {pes} PEs and a global buffer of {buffer:.0f} KiB;
batch {batch}; energy in MACs per MAC. Beside it the comparison's RS with as many PEs, at the same batch.

The two are apart in what they count. Eyas computes on 8 bits, and a word costs the same; buffer and RF writes count as
reads do, where the equations count what a level hands down; commands, parameters and padding are in it; psums have 32
bits."""

TABLES = """\
In the table's unit per operand. In `pj45`, that of memories is for 8 bits and other widths cost in proportion. Its
source has no costs of 8-bit words, register files or wires; what they follow from is said in
`golden/tables/pj45.toml`: a MAC is the 8-bit multiplication and the 32-bit addition; the buffer is interpolated to
128 KB and an eighth of 64 bits; the RF is extrapolated to 0.5 KB; the array is twice the RF, a ratio borrowed from
`eyeriss`; DRAM is the middle of its range. A table of your own is a TOML file with the same keys."""
