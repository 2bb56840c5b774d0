"""The store: one SQLite file that tools open, that no stop leaves half-written, and that one sweep writes at a time."""

import sqlite3

import pytest

from golden.energy import energy
from sim.sweep import SweepError, sources, store
from sim.sweep.costs import Outcome, Task, evaluate_machine
from sim.sweep.points import SweepData
from sim.sweep.schema import MACHINE_COLUMNS
from sim.sweep.space import Search, Workload
from sim.sweep.store import Store, Verification, read
from tests.sim.sweeping import CONV, FC, small_space

#: Labels that SQL has to quote.
AWKWARD = (Workload('it\'s "conv"', CONV), Workload("fc, twice", FC, batch=2))


def fill(space, folder):
    """Store all machines of a space; return its candidates."""
    candidates = space.candidates()
    with Store(space, folder) as kept:
        for candidate in candidates:
            kept.add(candidate, evaluate_machine(Task(candidate.id, candidate.config, space.workloads)))
    return candidates


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    space = small_space(workloads=AWKWARD, fields={"rows": (2, 4), "cols": (4, 6)})
    return space, folder, fill(space, folder)


def test_what_was_stored_is_read_back(filled):
    space, folder, candidates = filled
    data = read(folder / "sweep.db")
    assert isinstance(data, SweepData) and data.space == space
    assert [point.candidate for point in data.points] == candidates
    for point in data.points:
        outcome = evaluate_machine(Task(0, point.candidate.config, space.workloads))
        assert (point.costs, point.reasons, point.area) == (outcome.costs, {}, outcome.area)
        assert point.energies == {
            label: sum(energy(cost.counters, point.candidate.config).values()) for label, cost in point.costs.items()
        }


def test_pandas_opens_it(filled):
    pandas = pytest.importorskip("pandas", reason="needs the extra sweep")
    space, folder, candidates = filled
    connection = sqlite3.connect(folder / "sweep.db")
    table = pandas.read_sql("select * from points", connection)
    connection.close()
    points = read(folder / "sweep.db").points
    assert list(table["name"]) == [candidate.name for candidate in candidates]
    for name in ("pes", "global_buffer_bytes", "cycles", "dram_bytes", "energy", "edp", "luts", "gates", "sram_bits"):
        assert table[name].dtype.kind in "if" and list(table[name]) == [point.value(name) for point in points]
    for workload in space.workloads:
        for name in ("cycles", "dram_bytes", "energy", "edp"):
            column = f"{name}.{workload.name}"
            assert list(table[column]) == [point.value(column) for point in points]
    for name in MACHINE_COLUMNS[: MACHINE_COLUMNS.index("pes")]:
        assert list(table[name]) == [getattr(candidate.config, name) for candidate in candidates]


def test_a_machine_that_lacks_a_workload_has_no_sums(tmp_path):
    space = small_space(fields={"rows": (2, 4)})
    first, second = space.candidates()
    with Store(space, tmp_path) as kept:
        outcome = evaluate_machine(Task(0, first.config, space.workloads))
        del outcome.costs["fc"]
        outcome.reasons["fc"] = "it does not fit"
        kept.add(first, outcome)
        kept.add(second, Outcome.lost("its process died"))
    connection = sqlite3.connect(tmp_path / "sweep.db")
    rows = connection.execute('SELECT cycles, energy, edp, "cycles.conv", skipped FROM points').fetchall()
    connection.close()
    cycles = outcome.costs["conv"].cycles
    assert rows == [(None, None, None, cycles, "fc: it does not fit"), (None, None, None, None, "its process died")]
    points = read(tmp_path / "sweep.db").points
    assert [(point.reasons, point.unexpected) for point in points] == [
        ({"fc": "it does not fit"}, False),
        ({"": "its process died"}, True),
    ]


def test_what_ran_on_rtl_replaces_what_was_known(tmp_path):
    space = small_space(fields={"rows": (2, 4)})
    first, second = fill(space, tmp_path)
    with Store(space, tmp_path) as kept:
        kept.add_verified(first.id, {"conv": Verification(True, 5, ""), "fc": Verification(False, 6, "1 byte")})
        kept.add_verified(second.id, {"fc": Verification(True, 7, "")})
        data = kept.data()
        assert [point.verified for point in data.points] == ["DIFFERS in fc: 1 byte", "fc equal (not run: conv)"]
        assert not data.verified
        kept.add_verified(first.id, {"conv": Verification(True, 5, ""), "fc": Verification(True, 6, "")})
        assert kept.data().points[0].verified == "conv, fc equal" and kept.data().verified


def test_a_failed_transaction_leaves_nothing(tmp_path, monkeypatch):
    space = small_space(fields={"rows": (2,)})
    (candidate,) = space.candidates()
    with Store(space, tmp_path) as kept:
        outcome = evaluate_machine(Task(0, candidate.config, space.workloads))
        broken = [{"machine_id": candidate.id, "workload": "conv"}, {"machine_id": candidate.id, "workload": "conv"}]
        monkeypatch.setattr(store, "cost_rows", lambda *_: broken)
        with pytest.raises(sqlite3.IntegrityError):
            kept.add(candidate, outcome)
        assert kept.ids() == set() and kept.data().points == []
        monkeypatch.undo()
        kept.add(candidate, outcome)
        with pytest.raises(sqlite3.IntegrityError):
            kept.add(candidate, outcome)
        assert kept.ids() == {candidate.id}


def test_the_store_of_another_space_is_refused_unless_fresh(tmp_path):
    fill(small_space(fields={"rows": (2,)}), tmp_path)
    other = small_space(fields={"rows": (4,)})
    message = "sweep.db holds the sweep of another space: choose another folder with --out, or begin anew with --fresh"
    with pytest.raises(SweepError, match=message):
        Store(other, tmp_path)
    assert [point.candidate.id for point in read(tmp_path / "sweep.db").points] == [0], "it is unharmed"
    with Store(other, tmp_path, fresh=True) as kept:
        assert kept.ids() == set()


def test_the_costs_of_other_models_are_refused(tmp_path, monkeypatch):
    space = small_space(fields={"rows": (2,)})
    fill(space, tmp_path)
    monkeypatch.setattr(store, "sources_hash", lambda: "another")
    with pytest.raises(
        SweepError, match="sweep.db holds the costs of another version of Eyas's models: choose another"
    ):
        Store(space, tmp_path)
    with Store(space, tmp_path, fresh=True) as kept:
        assert kept.ids() == set()


def test_the_hash_of_the_sources_is_of_the_models_and_not_of_what_is_around_them(tmp_path, monkeypatch):
    for folder in ("hw", "compiler", "golden/__pycache__", "sim/area", "sim/sweep"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(sources, "_ROOT", tmp_path)
    seen = set()
    for name in ("hw/a.py", "golden/b.toml", "sim/area/c.json", "sim/sweep/costs.py", "hw/a.py"):
        with (tmp_path / name).open("a") as file:
            file.write("more")
        seen.add(sources.sources_hash.__wrapped__())
    assert len(seen) == 5
    for name in ("sim/run.py", "sim/sweep/store.py", "golden/__pycache__/a.nbi", "compiler/notes.md"):
        (tmp_path / name).write_text("x")
    assert sources.sources_hash.__wrapped__() in seen


def test_other_objectives_need_no_other_store(tmp_path):
    space = small_space(fields={"rows": (2, 4)})
    fill(space, tmp_path)
    other = small_space(fields={"rows": (2, 4)}, objectives=("cycles.fc", "dram_bytes"))
    with Store(other, tmp_path) as kept:
        assert kept.ids() == {0, 1}
    assert read(tmp_path / "sweep.db").space == other


def test_two_sweeps_do_not_write_one_store(tmp_path):
    space = small_space()
    with Store(space, tmp_path), pytest.raises(SweepError, match="must be written by one sweep at a time"):
        Store(space, tmp_path)
    with Store(space, tmp_path) as kept:
        assert kept.ids() == set()


@pytest.mark.parametrize("content", [b"not a database at all, but longer than its header is" * 10, b"EMPTY"])
def test_what_is_no_store_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "sweep.db"
    if content == b"EMPTY":
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE something (x)")
        connection.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for opened in (lambda: Store(small_space(), tmp_path), lambda: read(path)):
        with pytest.raises(SweepError, match="must be the store of a sweep, it is something else"):
            opened()
    assert path.read_bytes() == before


def test_a_store_that_is_missing_or_of_another_format_is_refused(tmp_path):
    with pytest.raises(SweepError, match="the store of a sweep must be a file such as .*, .*sweep.db is not there"):
        read(tmp_path / "sweep.db")
    space = small_space()
    fill(small_space(fields={"rows": (2,)}), tmp_path)
    connection = sqlite3.connect(tmp_path / "sweep.db")
    with connection:
        connection.execute("UPDATE space SET version = 99")
    connection.close()
    for opened in (lambda: Store(space, tmp_path), lambda: read(tmp_path / "sweep.db")):
        with pytest.raises(SweepError, match="is of format 99, this Eyas"):
            opened()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SweepError, match="out must be a folder that can be written, not .*file"):
        Store(small_space(), tmp_path / "file")


def test_numbers_of_a_huge_space_fit(tmp_path):
    words = tuple(range(8, 4097))
    names = ("ifmap_lane_words", "psum_bank_words", "parameter_words", "filter_lane_words", "queue_depth")
    space = small_space(fields={name: words for name in names}, search=Search("random", 1))
    (candidate,) = space.candidates()
    with Store(space, tmp_path) as kept:
        kept.add(candidate, Outcome())
    assert read(tmp_path / "sweep.db").points[0].candidate == candidate and candidate.id > 1 << 53
