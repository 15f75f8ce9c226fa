"""
Acknowledged data survives a loss of power at every call of the disk, and every fault of it.

Seeded random programs (puts, conditions, copies, deletes, uploads in parts, several at once) run on the engine in
dictionaries and on the real one, which are compared after every step.  The real one runs over a disk that writes
down every call, SQLite's included.  Then, for every call, the storage root is made as a loss of power just after it
would leave it (what was fsynced stands; of all else each 512-byte sector and each name may be there or not, in any
order), the store is opened on it, and everything is read: what was acknowledged is there, whole; what was under way
is there whole or not at all; after a sweep every file is named and every count is right.

Then the same programs with faults: a full disk, a broken one, a write that stops half-way, at one call or from one
call on.  Whoever is refused is told so, everybody else's data is untouched, and the root opens again.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from proof import programs
from proof.programs import Step, Thing
from proof.run import Run
from proof.simulated import Fault, Journal, LeftDisk, RecordedDisk, Variant, Wreck, index_files
from rs3gw.engine import index
from rs3gw.engine.blobs import FANOUT, path_of
from rs3gw.engine.memory import Memory
from rs3gw.engine.ports import Bucket, Disk, EngineError
from rs3gw.engine.store import Durability, Store, claim
from rs3gw.engine.world import PosixDisk, SystemClock

STEPS = 10
"""Steps of a program: some 25 operations, some 300 calls of the disk."""


PROGRAM_SECONDS = 60.0
"""Far more than a program takes: who still waits then waits for ever."""


class Lost(AssertionError):
    """The engine did not keep its promise; the sentence says which, and at which call."""


class SeededEntropy:
    """Numbers that the seed decides, so that a program names its blobs the same each time."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def token(self, size_bytes: int) -> bytes:
        return self._dice.randbytes(size_bytes)


@dataclass(slots=True)
class Recording:
    """A program that was run: what its disk was told, and what each operation changed."""

    seed: int
    steps: list[list[Step]]
    journal: Journal
    wreck: Wreck
    began: dict[Thing, Any]
    """What the engine held before."""
    deltas: dict[int, dict[Thing, Any]] = field(default_factory=dict)
    """What each operation changes, by its number."""
    doubtful: set[int] = field(default_factory=set)
    """Operations that were refused by the disk: they may have happened."""


@contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory in memory: the disk is simulated, and a real one would only be slow."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="rs3gw-simulation-", dir=shared if shared.is_dir() else None) as place:
        yield Path(place)


def _open(root: Path, dice: random.Random, disk: Disk | None = None, vfs: str | None = None) -> Store:
    """A store: strict over a disk that is written down, relaxed over one that is only looked at."""
    durability = Durability.RELAXED if vfs is None else Durability.STRICT
    return Store.open(root, clock=SystemClock(), entropy=SeededEntropy(dice), disk=disk, durability=durability, vfs=vfs)


def _close_claim(root: Path) -> None:
    os.close(claim(root))


async def record(seed: int, place: Path, *, steps: int = STEPS, journal: Journal | None = None) -> Recording:
    """
    Run a program on both engines, step by step.  Raises Lost where they differ.

    With a journal that has faults, what the disk refused is doubtful from then on, and only at the end is compared.
    """
    dice = random.Random(f"{seed}/program")
    root = place / "root"
    _close_claim(root)
    journal = journal or Journal()
    memory = Memory(clock=SystemClock())
    await memory.create_bucket(Bucket(name=programs.BUCKET, region="us-east-1", created=programs.CREATED))
    first = _open(root, dice)
    await first.create_bucket(Bucket(name=programs.BUCKET, region="us-east-1", created=programs.CREATED))
    await first.close()
    made = Recording(
        seed=seed,
        steps=programs.program(dice, steps),
        journal=journal,
        wreck=Wreck(root),
        began=await programs.state_of(memory),
    )
    with index_files(journal) as vfs:
        try:
            store = _open(root, dice, RecordedDisk(root, journal), vfs)
        except EngineError:
            if not journal.hits:
                raise
            return made  # a root that cannot be opened is refused, and nothing was asked
        try:
            async with asyncio.timeout(PROGRAM_SECONDS):
                await _run(made, memory, store)
        except TimeoutError as fault:
            raise Lost(f"seed {seed}: somebody waits for ever") from fault
        finally:
            await store.close()
    return made


async def _run(made: Recording, memory: Memory, store: Store) -> None:
    state = made.began
    for step in made.steps:
        outcomes = {}
        for one in step:
            before = await programs.state_of(memory)
            outcomes[one.number] = await programs.perform(memory, one)
            made.deltas[one.number] = programs.changes(before, await programs.state_of(memory))

        async def perform(one: Step) -> str:
            said = await programs.perform(store, one)
            made.journal.tell(one.number)
            return said

        said = await asyncio.gather(*(perform(one) for one in step), return_exceptions=True)
        for one, outcome in zip(step, said, strict=True):
            if isinstance(outcome, EngineError):
                made.doubtful.add(one.number)
            elif isinstance(outcome, BaseException):
                raise outcome
            elif outcome != outcomes[one.number] and not made.doubtful:
                raise Lost(f"{one} came to {outcome} in the store and to {outcomes[one.number]} in memory")
        if made.doubtful:
            # From here on the two may differ in what the disk refused; the audit knows in which ways.
            return
        state = await programs.state_of(memory)
        try:
            found = await programs.state_of(store)
        except EngineError:
            if not made.journal.hits:
                raise
            return  # a fault of the disk is the answer, and what it did is seen when the root is opened again
        if found != state:
            raise Lost(f"after {step}: {programs.difference(state, found)}")


def allowed(made: Recording, calls: int) -> tuple[dict[Thing, Any], list[Step]]:
    """What must be there after so many calls, and the operations that were under way."""
    told = {operation for count, operation in made.journal.told if count <= calls}
    state = made.began
    for step in made.steps:
        waiting = [one for one in step if one.number not in told]
        for one in step:
            if one.number in told:
                state = programs.changed(state, made.deltas[one.number])
        if waiting:
            return state, waiting
    return state, []


async def audit(made: Recording, root: Path, calls: int, what: str, disk: Disk | None = None) -> None:
    """Open what is left and look at all of it.  Raises Lost."""
    where = f"seed {made.seed}, {what} after call {calls}"
    expected, under_way = allowed(made, calls)
    try:
        store = _open(root, random.Random(0), disk)
    except Exception as fault:
        raise Lost(f"{where}: the root does not open: {fault!r}") from fault
    try:
        try:
            found = await programs.state_of(store)
        except EngineError as fault:
            raise Lost(f"{where}: what is there cannot be read: {fault!r}") from fault
        for one in under_way:
            delta = made.deltas.get(one.number, {})
            if delta and all(found.get(thing) == value for thing, value in delta.items()):
                expected = programs.changed(expected, delta)
        if found != expected:
            raise Lost(f"{where}: {programs.difference(expected, found)}")
        await store.sweep()
        _count(disk or PosixDisk(root), root, where)
    finally:
        await store.close()


def _count(disk: Disk, root: Path, where: str) -> None:
    """Every file is named, every name has its file, every count is right, and SQLite finds nothing wrong."""
    connection = apsw.Connection(str(root / "index.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        named = {
            str(blob): (count, size) for blob, count, size in connection.execute("SELECT id, named, size FROM blobs")
        }
        counted: Counter[str] = Counter()
        for table in ("objects", "parts"):
            for (extents,) in connection.execute(f"SELECT extents FROM {table}"):
                counted.update(extent.blob for extent in index.unpack_extents(extents))
        verdict = connection.execute("PRAGMA quick_check").get
    finally:
        connection.close()
    files = {blob: disk.size(path_of(blob)) for name in FANOUT for blob in disk.list(f"blobs/{name}")}
    if counted != Counter({blob: count for blob, (count, _) in named.items()}):
        raise Lost(f"{where}: the index counts {named} where records name {dict(counted)}")
    if files != {blob: size for blob, (_, size) in named.items()}:
        raise Lost(f"{where}: on the disk are {files}, named are {named}")
    if verdict != "ok":
        raise Lost(f"{where}: SQLite says {verdict}")


def crash_points(made: Recording, *, all_variants: bool) -> Iterator[tuple[int, Variant]]:
    """After which calls the power is lost, and what is then left of what was not fsynced."""
    calls = made.journal.calls
    for count in range(len(calls) + 1):
        yield count, "some"
        # Between two calls that make something durable the strictest reading does not change.
        if all_variants or count == len(calls) or calls[count - 1].makes_durable:
            yield count, "nothing"
        if all_variants:
            yield count, "everything"


async def crash(made: Recording, place: Path, *, all_variants: bool = False) -> int:
    """Lose power everywhere; how often.  Raises Lost."""
    dice = random.Random(f"{made.seed}/crash")
    left = place / "left"
    _close_claim(left)
    layout = (left / "layout.json").read_bytes()
    applied = points = 0
    for count, variant in crash_points(made, all_variants=all_variants):
        while applied < count:
            made.wreck.apply(made.journal.calls[applied])
            applied += 1
        made.wreck.leave(left, variant, dice)
        (left / "layout.json").write_bytes(layout)
        disk = LeftDisk(left, made.wreck.left)
        await audit(made, left, count, f"with {variant} of the rest left", disk)
        points += 1
    return points


async def suffer(seed: int, fault: Fault, first: int, last: int, place: Path) -> int:
    """
    Run a program whose disk fails from one call to another, then look at what there is; how many calls were hit.

    Raises Lost.
    """
    journal = Journal(fault=fault, first=first, last=last)
    made = await record(seed, place, journal=journal)
    told = {operation for _, operation in journal.told}
    # What ran in the same step and was acknowledged counts; what was refused may have happened.
    made.steps = [step for step in made.steps if any(one.number in told | made.doubtful for one in step)]
    for step in made.steps:
        step[:] = [one for one in step if one.number in told | made.doubtful]
    await audit(made, place / "root", len(journal.calls), f"{fault} from call {first} to {last}")
    return journal.hits


def simulate(seed: int, *, all_variants: bool = False, steps: int = STEPS) -> tuple[Recording, int]:
    """One program, compared and crashed everywhere; the recording and how many losses of power.  Raises Lost."""

    async def work(place: Path) -> tuple[Recording, int]:
        made = await record(seed, place, steps=steps)
        return made, await crash(made, place, all_variants=all_variants)

    with memory_directory() as place:
        return asyncio.run(work(place))


def fail(seed: int, fault: Fault, first: int, last: int) -> int:
    """One program on a failing disk; how many calls were hit.  Raises Lost."""
    with memory_directory() as place:
        return asyncio.run(suffer(seed, fault, first, last, place))


def prove(run: Run) -> None:
    """Programs, losses of power and faults, as many as the scale says."""
    programs_run = run.pick(3, 40)
    operations = calls = points = faults = 0
    for number in range(programs_run):
        seed = run.seed + number
        try:
            made, losses = simulate(seed, all_variants=not run.is_quick)
        except Lost as fault:
            run.must(False, str(fault))
            raise
        operations += len(made.deltas)
        calls += len(made.journal.calls)
        points += losses
        dice = run.random("faults", number)
        for _ in range(run.pick(4, 12)):
            first = dice.randrange(len(made.journal.calls))
            last = first if dice.random() < 0.5 else 10**9
            kind: Fault = dice.choice(("full", "broken", "short"))
            try:
                faults += fail(seed, kind, first, last) > 0
            except Lost as fault:
                run.must(False, str(fault))
        run.progress(number + 1, programs_run, "programs")
    run.figure("programs", programs_run)
    run.figure("operations", operations)
    run.figure("calls of the disk", calls)
    run.figure("losses of power, each opened and read whole", points)
    run.figure("runs on a failing disk", faults)
    run.figure("acknowledged data lost", 0)
