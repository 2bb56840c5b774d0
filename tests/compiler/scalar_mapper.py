"""The mapper written down for one mapping at a time: what the arrays of the compiler must equal."""

import dataclasses

from compiler.candidates import MAXIMUM_RUN_ROWS, TILE_CHOICES, WIDTH_CHOICES
from compiler.estimate import (
    COMMAND_BEATS,
    HINDRANCE,
    PASS_COMMANDS,
    REQUEST_CYCLES,
    RESIDUAL_CYCLES,
    START_CYCLES,
    STRIP_COMMANDS,
)
from compiler.mapping import LAYER_FIELDS, MAXIMUM_STRIPS, PASS_FIELDS, Mapping, delivery, units
from compiler.shapes import array_pairs


def up(a, b):
    """Return a / b, rounded up."""
    return -(-a // b)


def shares(count):
    """Return sizes into which ``count`` things can be cut evenly, largest first."""
    return sorted({up(count, parts) for parts in range(1, count + 1)}, reverse=True)


def moves_of(problem, unit):
    """Return the deliveries of a unit's slices."""
    work, config = problem.work, problem.config
    return [delivery(work, s.pair, s.slots, s.active_rows, s.last_rows, config) for s in unit.slices]


def region_words(problem, mapping):
    """Return the lane words of the largest ifmap tile: its channel blocks are a unit's if resident, else a slice's."""
    work, config, align = problem.work, problem.config, problem.align
    moves = [moves_of(problem, unit) for unit in units(work, mapping, config)]
    blocks = max(move.blocks for unit in moves for move in unit)
    if mapping.resident:
        blocks = max(max(m.first_block + m.blocks for m in unit) - min(m.first_block for m in unit) for unit in moves)
    height, width, _ = problem.input_shape
    rows = min((mapping.rows - 1) * work.stride[0] + work.window[0], height)
    rows = up(rows + (align - 1 if rows < height else 0), align) * align
    columns = min((mapping.columns - 1) * work.stride[1] + work.window[1], width)
    return up(mapping.images * rows, config.lanes) * blocks * columns


def candidates(problem):
    """Return all mappings in the order of enumeration."""
    work, config, taps = problem.work, problem.config, problem.taps
    found = {}
    for filters, slots in array_pairs(work, taps, config):
        psums = slots if work.depthwise else filters
        shape = Mapping(filters, slots, taps, 1, 1, 1, 1, True)
        everything = units(work, shape, config)
        limits = {"first": "first_operations", "middle": "middle_operations", "last": "last_operations"}
        limits |= {"blocks": "blocks"}
        moves = [move for unit in everything for move in moves_of(problem, unit)]
        if any(getattr(m, name) > PASS_FIELDS[field].maximum for m in moves for name, field in limits.items()):
            continue
        single = all(len(unit.slices) == 1 for unit in everything)
        wide = [width for width in shares(len(work.columns)) if width * psums <= config.psum_bank_words]
        for width in sorted({*wide[:WIDTH_CHOICES], *wide[WIDTH_CHOICES::WIDTH_CHOICES], *wide[-1:]}, reverse=True):
            places = min(config.psum_bank_words // (width * psums), MAXIMUM_STRIPS)
            strips = {1} if single else {1, max(1, places // 2), max(1, places - 1), places}
            for resident in (True, False):
                row = dataclasses.replace(shape, columns=width, resident=resident)
                for tile in tiles(problem, row):
                    for count in sorted(strips, reverse=True):
                        found[dataclasses.replace(tile, strips=count)] = None
    return list(found)


def tiles(problem, row):
    """Yield the largest tiles of a width whose ifmap fits the lanes twice, then once."""
    work, align = problem.work, problem.align
    below = work.rows[-1] * work.stride[0] - work.padding[0] > problem.input_shape[0]
    most = 1 if below else LAYER_FIELDS["images"].maximum
    sizes = [(count, len(work.rows)) for count in shares(problem.images) if count <= most]
    heights = [height for height in shares(len(work.rows)) if height <= LAYER_FIELDS["rows"].maximum]
    for copies in (2, 1):
        fitting = []
        for images, rows in sizes + [(1, height) for height in heights[1:]]:
            tile = dataclasses.replace(row, images=images, rows=rows)
            run = images * up((rows - 1) * work.stride[0] + work.window[0] + align, align) * align
            words = copies * region_words(problem, tile)
            if run <= MAXIMUM_RUN_ROWS and words <= problem.config.ifmap_lane_words:
                fitting.append(tile)
        yield from fitting[:TILE_CHOICES]


def cost(problem, mapping):
    """Return (cycles, bus beats) of a mapping."""
    work, config = problem.work, problem.config
    tiles = up(problem.images, mapping.images) * up(len(work.rows), mapping.rows)
    tiles *= up(len(work.columns), mapping.columns)
    turns = [turn(problem, mapping, unit) for unit in units(work, mapping, config)]
    turns = [turns[0]] * max(1, len(turns) - 1) + turns[-1:] * (len(turns) > 1)
    array, drain, beats = (sum(costs[name] for costs in turns) for name in ("array", "drain", "beats"))
    start = turns[0]["first_load"] + START_CYCLES
    if 2 * region_words(problem, mapping) > config.ifmap_lane_words:
        late = max(0, turns[0]["ifmap"] - turns[0]["under_load"]) if mapping.resident else 0
        array += start + late
    most = max(array, beats, drain)
    cycles = (most + (array + beats + drain - most) // HINDRANCE) * tiles + start + turns[-1]["tail"]
    return cycles, beats * tiles


def turn(problem, mapping, unit):
    """Return what all strips of one tile and unit cost."""
    config = problem.config
    pixels = mapping.images * mapping.rows
    entries = unit.groups * pixels
    strips = up(entries, config.cols)
    groups = up(strips, mapping.strips)
    moves = moves_of(problem, unit)
    passes = [pass_cycles(problem, mapping, unit, s, m) for s, m in zip(unit.slices, moves, strict=True)]
    kinds = [(s.slots, s.active_rows, m.operations, m.blocks) for s, m in zip(unit.slices, moves, strict=True)]
    last_pass = passes[kinds.index(list(dict.fromkeys(kinds))[-1])]
    drain = mapping.columns * drain_cycles(entries, mapping.rows, unit.psums, config)
    drain += strips * RESIDUAL_CYCLES * problem.residual
    strip_drain = up(drain, strips)
    tail = strip_drain + max(0, (strips - (groups - 1) * mapping.strips - 1) * (strip_drain - last_pass))
    drain += (len(unit.slices) - 1) * strips * mapping.columns * unit.psums
    bubble = 0
    if min(config.psum_bank_words // (mapping.columns * unit.psums), MAXIMUM_STRIPS) <= mapping.strips:
        bubble = max(0, strip_drain + 2 * config.rows - (mapping.strips - 1) * last_pass)
    filter_beats, idle = filters(problem, mapping, unit)
    ifmap, first_load = ifmap_beats(problem, mapping, unit, moves, groups)
    array = max(strips * sum(passes) + groups * bubble + unit.psums, filter_beats + idle)
    commands = strips * (PASS_COMMANDS * len(unit.slices) + STRIP_COMMANDS)
    ofmap = entries * mapping.columns * up(unit.psums, config.channel_block) * (1 + problem.residual)
    beats = ifmap + filter_beats + COMMAND_BEATS * commands + ofmap
    costs = {"array": array, "drain": drain, "beats": beats, "tail": tail, "under_load": array // groups}
    return costs | {"ifmap": ifmap, "first_load": first_load}


def pass_cycles(problem, mapping, unit, piece, moves):
    """Return the cycles of a pass over a strip."""
    work, config, taps = problem.work, problem.config, mapping.taps
    pixels, cols = mapping.images * mapping.rows, config.cols
    groups_in_strip = min(unit.groups, (cols - 2) // pixels + 2) if unit.groups > 1 else 1
    windows = up((min(cols, pixels) - 1) * work.stride[0] + work.window[0], config.lanes)
    windows += unit.groups > 1 and pixels % cols > 0 and pixels > cols
    operations = piece.slots * taps * mapping.filters
    column = moves.operations * windows
    ring = min(config.ifmap_spad_words // mapping.slots, LAYER_FIELDS["ring_columns"].maximum)
    alone = ring < 2 * taps or mapping.columns == 1
    reuse = len(unit.slices) == 1 and pixels >= cols
    stage = 0 if reuse else groups_in_strip * (up(operations, config.weights_per_word) + 2)
    compute = mapping.columns * max(operations, column * min(work.stride[1], taps)) + alone * column * taps
    return max(compute, stage, config.rows + 2, column * taps + max(config.rows, cols))


def drain_cycles(entries, rows, psums, config):
    """Return the cycles of drain for one ofmap column, segment by segment."""
    cycles = position = 0
    while position < entries:
        cut = min(rows - position % rows, config.cols - position % config.cols, entries - position)
        length = min(config.drain_width, cut)
        for first in range(0, psums, config.channel_block):
            cycles += max(min(config.channel_block, psums - first), length)
        position += length
    return cycles


def filters(problem, mapping, unit):
    """Return beats of filters, and cycles without any because the filter buffer holds one group only."""
    config, pixels = problem.config, mapping.images * mapping.rows
    entries = unit.groups * pixels

    def borders(step):
        return sum(border % pixels > 0 for border in range(step, entries, step))

    loads = unit.groups + (borders(mapping.strips * config.cols) if len(unit.slices) > 1 else 0)
    shared = borders(config.cols) * (2 if pixels > config.cols else 1)
    beats = idle = 0
    for piece in unit.slices:
        words = up(piece.slots * mapping.taps * mapping.filters, config.weights_per_word)
        alone = 2 * words > config.filter_lane_words
        beats += (loads + shared * alone) * piece.active_rows * words
        idle += (loads + shared) * (words + REQUEST_CYCLES) * alone
    return beats, idle


def ifmap_beats(problem, mapping, unit, moves, groups):
    """Return beats of the ifmap, and those that the first pass waits for."""
    work, block, (height, width, _) = problem.work, problem.config.channel_block, problem.input_shape
    rows = min((mapping.rows - 1) * work.stride[0] + work.window[0], height)
    columns = min((mapping.columns - 1) * work.stride[1] + work.window[1], width)
    first_rows = min(rows, (min(problem.config.cols, mapping.rows) - 1) * work.stride[0] + work.window[0])
    first = work.channel + unit.channel
    blocks = len({channel // block for channel in range(first, first + unit.channels)})
    if not mapping.resident:
        blocks = groups * sum(move.blocks for move in moves)
    beats = blocks * mapping.images * columns * up(rows, problem.align)
    return beats, moves[0].blocks * columns * up(first_rows, problem.align)
