"""Calls with bad input and altered state files, in any number: nothing may crash or hang.

    python tests/fuzz.py calls [--count 1000000] [--seed 0] [--processes 2]
    python tests/fuzz.py files [--count 100000]  [--seed 0] [--processes 2]

What is called, and with what, is generated from the package itself: every registered
configuration with its fields, every public method of a tile with its arguments. A call either
does its work or raises one of `REFUSALS` with a message, and then the tile is as it was, bit for
bit. A file that was altered is refused with a StateError, or gives a tile that can be used;
loading it takes at most twice the memory of the file. Each process is watched: what it has done
is repeated, life by life, from the seeds that a failure prints.

`tests/test_bad_input/test_fuzz.py` runs a little of this with hypothesis.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import enum
import faulthandler
import hashlib
import importlib
import inspect
import io
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
import traceback
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from rpupy import registry
from rpupy.configs.compounds import Cell
from rpupy.configs.devices import Device
from rpupy.errors import BackendUnavailableError, StateError
from rpupy.parameters import definition
from rpupy.parameters.base import Parameters, RPUConfigBase
from rpupy.parameters.io import IOParametersNodal
from rpupy.rpu_base import cuda
from rpupy.testing.bench import configuration_of
from rpupy.tiles import load

# Loading looks there for classes that it does not know: memory that is not the file's.
importlib.import_module("rpupy.presets")

#: What a call may raise. NumPy's FloatingPointError is the caller's wish.
REFUSALS = (
    TypeError,
    ValueError,
    NotImplementedError,
    BackendUnavailableError,
    FloatingPointError,
)
#: A call that takes longer than this, in seconds, hangs.
PATIENCE = 20.0
#: Memory that loading a file may take beside twice its length: parts of the configuration and of
#: the archive's directory, which a small file does not outweigh.
ROOM = 256 << 10

CALLS_IN_A_LIFE = 25
FILES_IN_A_LIFE = 40

Rnd = random.Random

# ---- values --------------------------------------------------------------------------

NUMBERS = [0.0, -0.0, 1e-45, -1e-40, 1e-30, 1e30, 1e38, -3e38, 1e300]
NOT_FINITE = [float("nan"), float("inf"), -float("inf")]
INTEGERS = [2**31, -(2**63), 2**64, 10**30]
NONSENSE = [None, "x", b"1", 1j, object(), [], [[]], {}, True, [None], (1, 2), 10**39]
DTYPES = ["f4", "f8", "f2", "g", ">f4", ">f8", "i4", "i8", "u1", "?", "c8", "O", "U3"]


def number(rnd: Rnd) -> Any:
    """Draw a number that may be extreme."""
    way = rnd.randrange(8)
    if way < 5:
        return rnd.uniform(-2.0, 2.0)
    return rnd.choice(NUMBERS if way < 7 else NOT_FINITE)


def integer(rnd: Rnd) -> Any:
    """Draw an integer that may be extreme."""
    return rnd.randint(-8, 8) if rnd.randrange(4) else rnd.choice(INTEGERS)


def few(rnd: Rnd) -> Any:
    """Draw an integer of which much work would be made if it were large."""
    return rnd.randint(-2, 3)


def flag(rnd: Rnd) -> Any:
    """Draw True or False."""
    return rnd.random() < 0.5


def mostly(draw: Callable[[Rnd], Any], rnd: Rnd) -> Any:
    """Draw a value, or in one case of eight nonsense."""
    return draw(rnd) if rnd.randrange(8) else rnd.choice(NONSENSE)


def array(rnd: Rnd, shape: tuple[int, ...]) -> Any:
    """Draw an array, of this shape more often than not, in any layout and of any type."""
    way = rnd.randrange(8)
    if way == 0:
        shape = tuple(rnd.choice([0, 1, 2, 3, 5]) for _ in range(rnd.randrange(4)))
    elif way == 1 and shape:
        shape = (*shape[:-1], max(shape[-1] + rnd.choice([-1, 1]), 0))
    values = np.random.default_rng(rnd.randrange(2**32)).normal(size=shape)
    if values.size and rnd.randrange(3) == 0:
        values.flat[rnd.randrange(values.size)] = number(rnd)
    dtype = rnd.choice(DTYPES) if rnd.randrange(3) == 0 else "f4"
    with np.errstate(all="ignore"):
        try:
            values = values.astype(dtype)
        except (ValueError, OverflowError):
            pass
    way = rnd.randrange(8)
    if values.ndim and way == 0:
        values = values[:: rnd.choice([1, -1, 2])]
    elif way == 1:
        values = values.T
    elif way == 2:
        values = np.asfortranarray(values)
    elif way == 3:
        values.flags.writeable = False
    elif way == 4 and values.dtype.kind == "f":
        values = np.ma.masked_array(values, np.abs(values) > 1.5)
    return values


# ---- configurations ------------------------------------------------------------------


def registered(base: type) -> list[type]:
    """List the registered classes below a class, by name."""
    return [
        cls for _, cls in sorted(definition._CLASSES.items()) if issubclass(cls, base)
    ]


def like(rnd: Rnd, value: Any) -> Any:
    """Draw a value of the kind that a field has, legal or not."""
    if isinstance(value, enum.Enum):
        return rnd.choice(list(type(value)))
    if isinstance(value, bool):
        return flag(rnd)
    if isinstance(value, int):
        return rnd.choice([integer(rnd), rnd.randint(0, 100)])
    if isinstance(value, float):
        return rnd.choice([number(rnd), value * rnd.uniform(0.5, 2.0)])
    if isinstance(value, Device):
        return device(rnd)
    if isinstance(value, Parameters):
        # Another class of such parts, if there is one.
        family = [cls for cls in type(value).__mro__ if issubclass(cls, Parameters)]
        return rnd.choice(registered(family[family.index(Parameters) - 1]))()
    if isinstance(value, list):
        if rnd.randrange(2):
            return [device(rnd, 1) for _ in range(rnd.randrange(4))]
        return [number(rnd) for _ in range(rnd.randrange(5))]
    return rnd.choice(NONSENSE)


def device(rnd: Rnd, depth: int = 2) -> Device:
    """Draw a device, or a cell with devices and cells inside."""
    cells = registered(Cell)
    plain = [cls for cls in registered(Device) if cls not in cells]
    made: Any = rnd.choice(cells if depth and rnd.randrange(3) else plain)()
    for field in attrs.fields(type(made)):
        if field.metadata.get("kind") == "parts":
            members = [device(rnd, depth - 1) for _ in range(rnd.choice([1, 2, 2, 3]))]
            # What follows the second of a transfer compound has to be like it.
            members[2:] = members[1:2] * len(members[2:])
            while not taken(made, field.name, members):
                members = [device(rnd, 0) for _ in members]
        elif field.name == "device" and depth:
            taken(made, field.name, device(rnd, depth - 1))
    return made


def taken(owner: Any, name: str, value: Any) -> bool:
    """Set a field if it takes this value."""
    try:
        setattr(owner, name, value)
    except REFUSALS as error:
        said(error)
        return False
    return True


#: Settings that change which kernels run; of many fields, chance would take them rarely.
SWITCHES = {
    "forward": ("mv_type", "is_perfect", "noise_management", "bound_management"),
    "backward": ("mv_type", "is_perfect", "noise_management", "bound_management"),
    "update": ("pulse_type", "noise_aggregation", "update_bl_management", "fixed_bl"),
}


def configuration(rnd: Rnd, refused: collections.Counter) -> RPUConfigBase:
    """Draw a configuration; what its fields refuse is counted and left at its default."""
    kinds = [cls for cls in registered(RPUConfigBase) if cls.tile_kind]
    config: Any = rnd.choice(kinds)()
    if rnd.randrange(4):
        with contextlib.suppress(*REFUSALS):
            config = configuration_of(device(rnd))
    for name, fields in SWITCHES.items():
        part = getattr(config, name, None)
        if part is not None and rnd.randrange(8) == 0:
            taken(config, name, like(rnd, part))
            part = getattr(config, name)
        if part is not None and rnd.randrange(2):
            switch = rnd.choice(fields)
            taken(part, switch, like(rnd, getattr(part, switch)))
    for _ in range(rnd.randrange(8)):
        owner: Any = config
        while True:
            field = rnd.choice(attrs.fields(type(owner)))
            value = getattr(owner, field.name)
            if isinstance(value, list) and value and rnd.randrange(4):
                value = rnd.choice(value)
            # A part is exchanged as a whole now and then, a device more often.
            into = isinstance(value, Parameters) and (
                rnd.random() < (0.7 if isinstance(value, Device) else 0.95)
            )
            if not into or not attrs.fields(type(value)):
                value = getattr(owner, field.name)
                break
            owner = value
        refused["calls"] += 1
        try:
            setattr(owner, field.name, mostly(lambda r, v=value: like(r, v), rnd))
        except REFUSALS as error:
            said(error)
            refused[type(error).__name__] += 1
    return config


# ---- tiles and calls -----------------------------------------------------------------

SIZES = [1, 2, 3, 4, 5]
BAD_SIZES = [0, -1, 2**31, 2**40, 1.5, True, None, "3"]
#: Methods that reach beyond the tile: files, and what only describes.
LEFT_OUT = {"save", "load", "default_config"}


def said(error: BaseException) -> None:
    """A refusal has to say something."""
    if not str(error):
        raise AssertionError(f"{type(error).__name__} without a message")


def fingerprint(tile: Any) -> Any:
    """Return all that can change in a tile, in a form that == compares bit for bit."""
    state = tile.__getstate__()
    arrays = {
        name: (array.dtype.str, array.shape, array.tobytes())
        for name, array in state["arrays"].items()
    }
    # Text, since NaN is not equal to itself.
    return repr(state["plain"]), arrays


def backends() -> list[str]:
    """List the backends on which tiles are built."""
    return ["cpu", "cuda_host"] if cuda.is_host_compiled() else ["cpu"]


def new_tile(rnd: Rnd, refused: collections.Counter) -> Any:
    """Build a tile; what refuses is counted, and the next one tried."""
    while True:
        config = configuration(rnd, refused)
        sizes = [rnd.choice(SIZES if rnd.randrange(20) else BAD_SIZES) for _ in "io"]
        options = {
            name: mostly(flag, rnd) if rnd.randrange(4) == 0 else flag(rnd)
            for name in ("bias", "in_trans", "out_trans")
        }
        refused["calls"] += 1
        try:
            cls = registry.counterpart(config.tile_kind, rnd.choice(backends()))
            return cls(*sizes, config, **options, rng=rnd.randrange(2**32))
        except REFUSALS as error:
            said(error)
            refused[type(error).__name__] += 1


def vectors(rnd: Rnd, size: int, first: bool, batch: int) -> Any:
    """Draw a batch of vectors, or one vector."""
    if rnd.randrange(4) == 0:
        return array(rnd, (size,))
    return array(rnd, (size, batch) if first else (batch, size))


def hidden(rnd: Rnd, tile: Any) -> Any:
    """Draw hidden parameters: those that there are, with one exchanged."""
    parameters = tile.get_hidden_parameters()
    if parameters and rnd.randrange(4):
        name = rnd.choice(sorted(parameters))
        parameters[name] = array(rnd, parameters[name].shape)
    elif rnd.randrange(2):
        parameters["x"] = number(rnd)
    return parameters


def argument(rnd: Rnd, name: str, tile: Any) -> Any:
    """Draw an argument by its name; of an unknown name, anything."""
    out_size, in_size = tile.shape
    batch = rnd.randrange(4)
    draws: dict[str, Callable[[Rnd], Any]] = {
        "x_input": lambda r: vectors(r, in_size, tile.in_trans, batch),
        "d_input": lambda r: vectors(r, out_size, tile.out_trans, batch),
        "x_values": lambda r: r.choice([None, array(r, (in_size + 1, in_size))]),
        "weight": lambda r: array(r, (out_size, in_size)),
        "w_init": lambda r: r.choice([number(r), array(r, (out_size, in_size))]),
        "bias": lambda r: r.choice([None, array(r, (out_size,))]),
        "out": lambda r: r.choice([None, None, array(r, (batch, out_size))]),
        "mapping_scales": lambda r: r.choice([number(r), array(r, (out_size,))]),
        "parameters": lambda r: hidden(r, tile),
        "rpu_config": lambda r: tile.rpu_config,
        "device": lambda r: r.choice([None, 0, -1, "cuda:0", "cuda", "cpu"]),
        "mode": flag,
        "apply_weight_scaling": flag,
        "realistic": lambda r: r.randrange(8) == 0,
        "from_reference": flag,
        # Much would be a lot of work or of memory, and legal.
        "n": few,
        "max_iter": few,
        "over_sampling": few,
        "start_column_idx": integer,
        "num_columns": integer,
        "value": lambda r: r.choice([None, number(r), array(r, (out_size,))]),
    }
    draw = draws.get(name, number)
    value = mostly(draw, rnd)
    # 10**39 tiles or updates would be built and made.
    return few(rnd) if draw is few and value == 10**39 else value


def calls_of(tile: Any) -> list[tuple[str, list[str]]]:
    """List the public methods and setters of a tile with the names of their arguments."""
    found = []
    for name in sorted(dir(type(tile))):
        if name.startswith("_") or name in LEFT_OUT:
            continue
        kind = inspect.getattr_static(type(tile), name)
        if isinstance(kind, property):
            if kind.fset is not None:
                found.append((f"{name} =", ["value"]))
        elif callable(getattr(tile, name)):
            given = inspect.signature(getattr(tile, name)).parameters.values()
            named = [p.name for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
            found.append((name, named))
    return found


def call(tile: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Call a method, or set an attribute."""
    if name.endswith(" ="):
        setattr(tile, name[:-2], arguments["value"])
        return None
    return getattr(tile, name)(**arguments)


def random_call(rnd: Rnd, tile: Any, calls: list) -> tuple[str, dict[str, Any]]:
    """Draw a call; arguments with defaults are given more often than not."""
    name, names = rnd.choice(calls)
    # Much time goes into programming, so it is rarer.
    if name == "program_weights" and rnd.randrange(4):
        name, names = "update", ["x_input", "d_input"]
    arguments = {key: argument(rnd, key, tile) for key in names}
    if name == "program_weights":
        arguments.setdefault("max_iter", 1)
    elif name in ("set_weights", "get_weights") and rnd.randrange(2):
        arguments.pop("realistic", None)
    if name == "set_weights" and arguments.get("realistic") is True:
        arguments["realistic"] = rnd.randrange(20) == 0
    return name, arguments


def try_call(
    tile: Any, name: str, arguments: dict[str, Any], before: Any, raising: bool
) -> tuple[Any, BaseException | None]:
    """Make a call; return the fingerprint after it, and how it was refused.

    `raising` makes errors of NumPy's warnings, as a careful caller does.
    """
    start = time.perf_counter()
    refusal = None
    with np.errstate(all="raise" if raising else "ignore"):
        try:
            call(tile, name, arguments)
        except REFUSALS as error:
            said(error)
            refusal = error
    if time.perf_counter() - start > PATIENCE:
        raise AssertionError(f"{name} took longer than {PATIENCE} s")
    after = fingerprint(tile)
    if refusal is not None and after != before:
        raise AssertionError(f"{name} raised {refusal!r} and changed the tile")
    return after, refusal


def life(rnd: Rnd, count: collections.Counter, length: int = CALLS_IN_A_LIFE) -> None:
    """Build a tile and call it; count calls and refusals."""
    tile = new_tile(rnd, count)
    calls = calls_of(tile)
    before = fingerprint(tile)
    done = []
    for _ in range(length):
        name, arguments = random_call(rnd, tile, calls)
        done.append(name)
        count["calls"] += 1
        try:
            before, refusal = try_call(
                tile, name, arguments, before, rnd.random() < 0.3
            )
        except BaseException as error:
            raise AssertionError(
                f"{tile!r} with {tile.rpu_config!r}, after {done[:-1]}:"
                f" {name}({arguments!r}): {type(error).__name__}: {error}"
            ) from error
        if refusal is not None:
            count[type(refusal).__name__] += 1
    # A state that is not legal could not be copied.
    if fingerprint(tile.copy()) != before:
        raise AssertionError(f"the copy of {tile!r} differs, after {done}")


# ---- files ---------------------------------------------------------------------------


def saved_tile(rnd: Rnd, folder: Path) -> bytes:
    """Save a tile in the midst of its life, and return the file."""
    ignored: collections.Counter = collections.Counter()
    while True:
        tile = new_tile(rnd, ignored)
        parts = (getattr(tile.rpu_config, name, None) for name in SWITCHES)
        solved = any(isinstance(part, IOParametersNodal) for part in parts)
        if rnd.randrange(4) == 0 and not solved:
            # Large enough for memory to be told from what is always needed, and no system of
            # equations that takes seconds.
            tile = type(tile)(60, 80, tile.rpu_config, rng=rnd.randrange(2**32))
        with np.errstate(all="ignore"):
            try:
                for side in range(3):
                    tile.forward(np.full((2, tile.in_size), 0.1 * side))
                    tile.update(np.ones(tile.in_size), np.ones(tile.out_size))
                tile.drift_weights(2.0)
                tile.decay_weights()
                tile.save(folder / "tile")
            except REFUSALS:
                continue
        return (folder / "tile").read_bytes()


def members(data: bytes) -> dict[str, bytes]:
    """Read all members of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(parts: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Write an archive with these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as written:
        for name, data in parts.items():
            written.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def signed(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Make the list of arrays right again: an attacker can do so, too."""
    content = json.loads(parts["state.json"])
    for name, entry in content["arrays"].items():
        data = parts.get(f"{name}.npy", b"")
        try:
            version = np.lib.format.read_magic(stream := io.BytesIO(data))
            assert version == (1, 0)
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            entry["shape"], entry["dtype"] = list(shape), dtype.str
            digest = hashlib.sha256(data[stream.tell() :])
            entry["sha256"] = digest.hexdigest()
        except Exception:
            # A damaged header, of which NumPy complains in many ways: let it stand.
            continue
    return {**parts, "state.json": json.dumps(content).encode()}


def flipped(rnd: Rnd, data: bytes) -> bytes:
    """Flip some bits."""
    changed = bytearray(data)
    for _ in range(rnd.choice([1, 1, 1, 2, 8, 100])):
        changed[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
    return bytes(changed)


def truncated(rnd: Rnd, data: bytes) -> bytes:
    """Cut the end off, or the beginning."""
    at = rnd.randrange(len(data))
    return data[:at] if rnd.randrange(4) else data[at:]


def spliced(rnd: Rnd, data: bytes) -> bytes:
    """Leave a piece out, repeat it, or write it elsewhere."""
    a, b = sorted(rnd.randrange(len(data)) for _ in range(2))
    b = min(b, a + 2000)
    to = rnd.randrange(len(data))
    return rnd.choice(
        [
            data[:a] + data[b:],
            data[:b] + data[a:b] + data[b:],
            data[:to] + data[a:b] + data[to + b - a :],
            data[:a] + bytes(b - a) + data[b:],
        ]
    )


def flipped_inside(rnd: Rnd, data: bytes) -> bytes:
    """Flip bits of a member, in an archive whose checksums are right."""
    parts = members(data)
    name = rnd.choice(sorted(parts))
    parts[name] = rnd.choice([flipped, truncated, spliced])(rnd, parts[name])
    if name != "state.json" and rnd.randrange(2):
        parts = signed(parts)
    return archive(parts)


def swapped(rnd: Rnd, data: bytes) -> bytes:
    """Exchange, drop, repeat or rename members."""
    parts = members(data)
    names = sorted(parts)
    a, b = rnd.choice(names), rnd.choice(names)
    way = rnd.randrange(4)
    if way == 0:
        del parts[a]
    elif way == 1:
        parts[rnd.choice([f"../{a}", f"{a}x", "x", f"{b}.npy"])] = parts[a]
    else:
        parts[a], parts[b] = parts[b], parts[a]
    if "state.json" not in (a, b) and rnd.randrange(2):
        parts = signed(parts)
    method = zipfile.ZIP_DEFLATED if rnd.randrange(8) == 0 else zipfile.ZIP_STORED
    return archive(parts, method)


def huge(rnd: Rnd, data: bytes) -> bytes:
    """Let an array claim another shape or type, with or without the list of arrays."""
    parts = members(data)
    name = rnd.choice([name for name in parts if name.endswith(".npy")])
    stream = io.BytesIO(parts[name])
    np.lib.format.read_magic(stream)
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    body = parts[name][stream.tell() :]
    large = rnd.choice([2**20, 2**31, 2**40, 2**62, 2**64, 10**30, -1, 0])
    shape = rnd.choice([(large,), (*shape, large), (large, *shape), (large, large)])
    header = {
        "descr": rnd.choice([dtype.str, dtype.str, "<f8", "|O", "<U9", "|V0", "?"]),
        "fortran_order": rnd.randrange(4) == 0,
        "shape": shape,
    }
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, header)
    parts[name] = written.getvalue() + body
    if rnd.randrange(4):
        content = json.loads(parts["state.json"])
        entry = content["arrays"][name.removesuffix(".npy")]
        entry["shape"], entry["dtype"] = list(shape), header["descr"]
        entry["sha256"] = hashlib.sha256(body).hexdigest()
        if rnd.randrange(2):
            content["tile"][rnd.choice(["out_size", "in_size"])] = abs(large)
        parts["state.json"] = json.dumps(content).encode()
    return archive(parts)


def leaves(node: Any, way: tuple = ()) -> Iterator[tuple]:
    """List the ways to all values in a JSON text."""
    if isinstance(node, (dict, list)):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            yield (*way, key)
            yield from leaves(value, (*way, key))


def rewritten(rnd: Rnd, data: bytes) -> bytes:
    """Exchange values of the configuration, seed, counters or list of arrays."""
    parts = members(data)
    content = json.loads(parts["state.json"])
    for _ in range(rnd.choice([1, 1, 2, 5])):
        *way, last = rnd.choice(list(leaves(content)))
        owner = content
        for key in way:
            owner = owner[key]
        deep: Any = 1
        for _ in range(3 if rnd.randrange(500) else 100_000):
            deep = [deep]
        owner[last] = rnd.choice(
            [
                *(None, True, -1, 0, 1, 2**32, 2**63, -(2**63), 10**40, 0.5, 1e38),
                *(-1e-45, 1e300, "", "x", "x" * 10_000, [], {}, {"class": "x"}, deep),
                {"class": rnd.choice(sorted(definition._CLASSES)), "fields": {}},
                rnd.choice([-2, 0.3, 3, 7, 1e-3, 1e3]),
            ]
        )
        if owner[last] is deep:
            break  # too deep to look for a further value
        if rnd.randrange(8) == 0:
            del owner[last]
    try:
        text = json.dumps(content)
    except RecursionError:
        text = "[" * 100_000
    return archive({**parts, "state.json": text.encode()})


ALTERATIONS = [
    flipped,
    truncated,
    spliced,
    flipped_inside,
    swapped,
    huge,
    rewritten,
    rewritten,
]


@contextlib.contextmanager
def watched_memory() -> Iterator[None]:
    """Watch what loading a file takes, which makes Python slower."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def load_altered(path: Path, data: bytes) -> str:
    """Load a file, use what it gives, and return what happened in a word."""
    path.write_bytes(data)
    start = time.perf_counter()
    watched = tracemalloc.is_tracing()
    if watched:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
    tile, outcome = None, "loaded"
    try:
        tile = load(path)
    except StateError as error:
        said(error)
        outcome = "refused"
    if watched:
        taken = tracemalloc.get_traced_memory()[1] - before
        if taken > 2 * len(data) + ROOM:
            raise AssertionError(f"{taken} bytes were taken for a file of {len(data)}")
    if tile is not None:
        with np.errstate(all="ignore"):
            for use in (
                lambda: tile.forward(np.ones(tile.in_size)),
                lambda: tile.update(np.ones(tile.in_size), np.ones(tile.out_size)),
                tile.diffuse_weights,
                tile.copy,
                lambda: str(tile),
            ):
                try:
                    use()
                except REFUSALS as error:
                    said(error)
    if time.perf_counter() - start > PATIENCE:
        raise AssertionError(f"it took longer than {PATIENCE} s")
    return outcome


def altered_files(
    rnd: Rnd, count: collections.Counter, length: int = FILES_IN_A_LIFE
) -> None:
    """Save a tile, alter the file in several ways, and load what became of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = saved_tile(rnd, folder)
        for _ in range(length):
            alteration = rnd.choice(ALTERATIONS)
            data = alteration(rnd, whole)
            try:
                path = folder / f"altered-{count['calls']}"
                outcome = load_altered(path, data)
                path.unlink()
            except BaseException as error:
                keep = Path(tempfile.gettempdir(), f"rpupy-fuzz-{rnd.getrandbits(32)}")
                keep.write_bytes(data)
                raise AssertionError(
                    f"{alteration.__name__}, kept as {keep}:"
                    f" {type(error).__name__}: {error}"
                ) from error
            count["calls"] += 1
            count[outcome] += 1


# ---- the command ---------------------------------------------------------------------

LIVES = {"calls": life, "files": altered_files}
#: Calls or files for each process that is started.
SHARE = {"calls": 25_000, "files": 2_500}


def work(kind: str, seed: int, part: int, share: int) -> None:
    """Do one share, and print what happened as JSON; a life that fails is printed, too."""
    faulthandler.enable()
    count: collections.Counter = collections.Counter()
    failed = []
    for turn in itertools.count():
        if count["calls"] >= share:
            break
        name = f"{kind}/{seed}/{part}/{turn}"
        # Whoever hangs in a kernel is ended with a traceback.
        faulthandler.dump_traceback_later(10 * PATIENCE, exit=True)
        print(name, file=sys.stderr, flush=True)
        try:
            LIVES[kind](random.Random(name), count)
        except Exception as error:
            failed.append([name, str(error), traceback.format_exc()])
            count["calls"] += 1
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps({"count": count, "failed": failed}))


def main() -> int:
    """Start processes until all is done, and print the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=LIVES)
    parser.add_argument("--count", type=int, help="calls, or altered files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    parser.add_argument("--life", help="repeat this life, which a failure names")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.life:
        with watched_memory() if args.kind == "files" else contextlib.nullcontext():
            LIVES[args.kind](random.Random(args.life), collections.Counter())
        return 0
    total = args.count or {"calls": 1_000_000, "files": 100_000}[args.kind]
    share = min(SHARE[args.kind], total)
    if args.part is not None:
        with watched_memory() if args.kind == "files" else contextlib.nullcontext():
            work(args.kind, args.seed, args.part, share)
        return 0
    start = time.perf_counter()
    parts = iter(range(-(-total // share)))
    running: dict[int, subprocess.Popen] = {}
    count: collections.Counter = collections.Counter()
    failures = 0
    command = [sys.executable, __file__, *sys.argv[1:]]
    for part in itertools.chain(parts, itertools.repeat(None)):
        if part is not None:
            running[part] = subprocess.Popen(
                [*command, "--part", str(part)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            if len(running) < args.processes:
                continue
        if not running:
            break
        first = min(running)
        process = running.pop(first)
        out, err = process.communicate()
        if process.returncode:
            failures += 1
            print(f"part {first} ended with {process.returncode}:\n{err[-3000:]}")
            continue
        result = json.loads(out)
        count.update(result["count"])
        for name, text, trace in result["failed"]:
            failures += 1
            print(f"{name}: {text[:2000]}\n{trace[-2000:]}", flush=True)
    total = count.pop("calls", 0)
    outcomes = ", ".join(f"{n} {what}" for what, n in count.most_common())
    seconds = time.perf_counter() - start
    print(f"{total} {args.kind} in {seconds:.0f} s, {failures} failures; {outcomes}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
