"""Hypothesis strategies: configurations of devices and tiles, tiles, weights, inputs.

They are derived from the declarations of the configuration classes, so that a new device
or a new field is covered without a line here.  Only what is built is generated, and all
that is generated is legal.  Examples shrink to the defaults: what is left in a failing
example is what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
import numpy as np

from rpupy import registry
from rpupy.configs.compounds import (
    BufferedTransferCompound,
    Cell,
    ChoppedTransferCompound,
    DigitalRankUpdateCell,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    OneSidedUnitCell,
    ReferenceUnitCell,
    TransferCompound,
    VectorUnitCell,
)
from rpupy.configs.devices import Device, PulsedDevice
from rpupy.errors import ConfigError
from rpupy.parameters.base import Parameters
from rpupy.parameters.enums import (
    AnalogMVType,
    NoiseAggregation,
    PulseType,
)
from rpupy.parameters.io import IOParameters
from rpupy.parameters.training import UpdateParameters
from rpupy.rpu_base import _cpu

from .bench import TileFactory, configuration_of

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as error:
    raise ImportError(
        "rpupy.testing.strategies needs hypothesis: pip install hypothesis"
    ) from error

__all__ = [
    "arrays",
    "cell_configs",
    "device_configs",
    "errors_for",
    "inputs_for",
    "io_parameters",
    "layouts",
    "parameters",
    "shapes",
    "tile_configs",
    "tiles",
    "update_parameters",
    "update_sequences_for",
    "updates_for",
    "weights_for",
]

P = TypeVar("P", bound=Parameters)
Floats = Any

#: Sizes of values of fields whose default, 0, says nothing about it.
_TYPICAL = {
    "lifetime": 16.0,
    "diffusion": 0.125,
    "reset": 0.25,
    "reset_dtod": 0.125,
    "reset_std": 0.125,
    "write_noise_std": 4.0,
    "inp_noise": 0.125,
    "w_noise": 0.125,
    "w_noise_std": 0.125,
    "reference_mean": 0.125,
    "reference_std": 0.125,
    "res": 0.125,
    "nu": 0.125,
    "nu_k": 0.0625,
    "nu_std": 0.25,
    "log_g0": 0.25,
}
#: Parts of that size, the last ones outwards of what is usual.
_STEPS = (0.0, 0.5, 1.0, 0.25, 1.5, 2.0, -0.5, -1.0)
#: Cells and compounds, and how many members they may have.
_CELLS: dict[type[Cell], tuple[int, int]] = {
    VectorUnitCell: (1, 3),
    ReferenceUnitCell: (1, 2),
    OneSidedUnitCell: (1, 1),
    TransferCompound: (2, 3),
    BufferedTransferCompound: (2, 3),
    ChoppedTransferCompound: (2, 2),
    DynamicTransferCompound: (2, 2),
    MixedPrecisionCompound: (1, 1),
}
#: Sides of arrays: one line, odd, and beyond the widest vector register.
_SIDES = (1, 2, 3, 5, 7, 17)
_MOST_NODES = 5


def shapes(sides: Sequence[int] = _SIDES) -> st.SearchStrategy[tuple[int, int]]:
    """Generate sizes of tiles: ``(out_size, in_size)``.

    Parameters
    ----------
    sides : sequence of int
        Which numbers of lines there may be, the simplest first.
    """
    side = st.sampled_from(tuple(sides))
    return st.tuples(side, side)


# ---- configurations ------------------------------------------------------------------


def parameters(cls: type[P], **fields: Any) -> st.SearchStrategy[P]:
    """Generate objects of a parameter class from the declarations of its fields.

    Parameters
    ----------
    cls : type
        A class made by `rpupy.parameters.define`.
    **fields
        Values, or strategies for values, of fields that are to be as given; all others
        vary, but for settings that are not built.  Values that do not go together with
        others are taken back to the default.

    Returns
    -------
    SearchStrategy

    Examples
    --------
    >>> from rpupy.configs import UpdateParameters
    >>> from rpupy.testing.strategies import parameters
    >>> short = parameters(UpdateParameters, desired_bl=5)
    """
    given = {
        name: value if isinstance(value, st.SearchStrategy) else st.just(value)
        for name, value in fields.items()
    }
    varied = {}
    for field in attrs.fields(cls):
        if field.name not in given:
            values = _values(field)
            if values is not None:
                varied[field.name] = values
    return _objects(cls, given, varied)


@st.composite
def _objects(
    draw: st.DrawFn,
    cls: type[P],
    given: dict[str, st.SearchStrategy[Any]],
    varied: dict[str, Callable[[int], st.SearchStrategy[Any]]],
) -> P:
    fixed = draw(st.fixed_dictionaries(given))
    # Lists of one object have one length.
    number = draw(st.integers(1, _MOST_NODES))
    free = draw(
        st.fixed_dictionaries(
            {}, optional={name: values(number) for name, values in varied.items()}
        )
    )
    while True:
        made = _made(cls, {**fixed, **free})
        if made is not None:
            return made
        if not free:
            # Raises what is wrong with the given fields.
            config = cls(**fixed)
            config.validate()
        for name in reversed(list(free)):
            rest = {k: v for k, v in free.items() if k != name}
            if _made(cls, {**fixed, **rest}) is not None:
                free = rest
                break
        else:
            free.popitem()


def _made(cls: type[P], fields: dict[str, Any]) -> P | None:
    try:
        config = cls(**fields)
        config.validate()
    except ConfigError:
        return None
    return config


def _values(
    field: attrs.Attribute[Any],
) -> Callable[[int], st.SearchStrategy[Any]] | None:
    """Return what generates values of a field, or None where it stays at its default."""
    about = field.metadata
    kind = about.get("kind")
    default: Any = field.default
    if kind == "part":
        factory = default.factory
        return lambda _: parameters(factory)
    if kind == "choice":
        built = [m for m in about["members"] if m not in about["later"]]
        return _sampled(default, built)
    if about.get("pending"):
        return None
    if kind == "real":
        return _sampled(default, _numbers(field.name, default, about))
    if kind == "integer":
        near = (about["low"], 1, 2, 7, default + 1, 2 * default + 1)
        legal = [
            k for k in near if about["low"] <= k <= about["high"] and abs(k) < 2**20
        ]
        return _sampled(default, legal)
    if kind == "flag":
        return _sampled(default, [not default])
    if kind == "reals":
        # Numbers above 0: the middle one is often what decides the size of a step.
        value = st.sampled_from((1.0, 0.5, 2.0, 0.25))
        return lambda number: st.lists(value, min_size=number, max_size=number)
    return None


def _sampled(
    default: Any, others: Sequence[Any]
) -> Callable[[int], st.SearchStrategy[Any]]:
    values = [default, *(value for value in others if value != default)]
    return lambda _: st.sampled_from(values)


def _numbers(name: str, default: float, about: Any) -> list[float]:
    """Return typical values of a real field, within its legal range."""
    size = _TYPICAL.get(name) or abs(default)
    if size == 0.0:
        size = 0.5 if name.endswith(("_dtod", "_std")) else 1.0
    if about["above"] == 0.0:
        return [size * factor for factor in (2.0, 0.5, 16.0, 0.0625)]
    sign = -1.0 if default < 0.0 else 1.0
    values = [sign * step * size for step in _STEPS]
    if name.endswith("_res") or name == "res":
        values.append(32.0)
    low = -np.inf if about["low"] is None else about["low"]
    high = np.inf if about["high"] is None else about["high"]
    above = -np.inf if about["above"] is None else about["above"]
    return [
        value
        for value in values
        if low <= value <= high
        and value > above
        and not (about["nonzero"] and value == 0.0)
    ]


def device_configs(
    classes: Sequence[type[Device]] | None = None, **fields: Any
) -> st.SearchStrategy[Any]:
    """Generate configurations of devices.

    Parameters
    ----------
    classes : sequence of type, optional
        Which devices; default: all of `rpupy.registry.device_classes`.
    **fields
        As for `parameters`.  A class without such a field ignores it.

    Returns
    -------
    SearchStrategy

    Examples
    --------
    >>> from hypothesis import given
    >>> from rpupy.testing.strategies import device_configs
    >>> @given(device=device_configs(dw_min_std=0.0))
    ... def test_something(device):
    ...     assert getattr(device, "dw_min_std", 0.0) == 0.0
    >>> test_something()
    """
    if classes is None:
        classes = registry.device_classes()
    return st.one_of(
        [
            parameters(
                cls,
                **{
                    name: value
                    for name, value in fields.items()
                    if name in {field.name for field in attrs.fields(cls)}
                },
            )
            for cls in classes
        ]
    )


@st.composite
def cell_configs(
    draw: st.DrawFn,
    classes: Sequence[type[Cell]] | None = None,
    devices: st.SearchStrategy[Any] | None = None,
    *,
    depth: int = 1,
    **fields: Any,
) -> Any:
    """Generate configurations of unit cells and compounds.

    Parameters
    ----------
    classes : sequence of type, optional
        Which cells; default: all of them.
    devices : SearchStrategy, optional
        Pulsed devices; default: all that there are.
    depth : int
        How many levels of cells there may be inside.
    **fields
        As for `parameters`.  A class without such a field ignores it.

    Returns
    -------
    SearchStrategy

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from rpupy.configs import VectorUnitCell
    >>> from rpupy.testing.strategies import cell_configs
    >>> @settings(max_examples=2)
    ... @given(cell=cell_configs([VectorUnitCell]))
    ... def test_something(cell):
    ...     assert len(cell.gammas()) == len(cell.members())
    >>> test_something()
    """
    cls: Any = draw(st.sampled_from(tuple(classes or _CELLS)))
    if devices is None:
        pulsed = [c for c in registry.device_classes() if issubclass(c, PulsedDevice)]
        devices = device_configs(pulsed)
    known = {field.name: field for field in attrs.fields(cls)}
    member = devices
    if depth > 0 and not issubclass(cls, OneSidedUnitCell):
        # A mixed precision compound stands alone, and two buffers need two names.
        left_out: tuple[type, ...] = (DigitalRankUpdateCell,)
        if issubclass(cls, BufferedTransferCompound):
            left_out += (ChoppedTransferCompound,)
        elif cls is ChoppedTransferCompound:
            left_out += (DynamicTransferCompound,)
        inner = [c for c in _CELLS if not issubclass(c, left_out)]
        nested = cell_configs(inner, devices, depth=depth - 1, **fields)
        member = st.one_of(devices, devices, nested)
    made = {name: value for name, value in fields.items() if name in known}
    least, most = _CELLS[cls]
    if "device" in known:
        made.setdefault("device", member)
    else:
        members = draw(st.lists(member, min_size=least, max_size=most))
        if issubclass(cls, TransferCompound):
            members[2:] = members[1:2] * len(members[2:])
        made["unit_cell_devices"] = members
        count = max(len(members), 2) if cls is ReferenceUnitCell else len(members)
        number = st.sampled_from((1.0, 0.5, 0.0, -1.0, 2.0))
        several = st.lists(number, min_size=count, max_size=count).map(
            # The last factor of a transfer compound is not 0.
            lambda values: [*values[:-1], values[-1] or 0.25]
        )
        for name, field in known.items():
            if field.metadata.get("kind") == "reals" and name not in made:
                default = st.builds(field.default.factory)
                made[name] = st.one_of(default, several)
    for name in ("transfer_forward", "refresh_forward"):
        if name in known:
            made.setdefault(name, _reads())
    for name in ("transfer_update", "refresh_update"):
        if name in known:
            made.setdefault(name, _pulsed_updates())
    cell = draw(parameters(cls, **made))
    for name in ("transfer_update", "refresh_update"):
        if name in known and not _aggregates(cell):
            getattr(cell, name).noise_aggregation = NoiseAggregation.PULSE
    return cell


def _reads() -> st.SearchStrategy[IOParameters]:
    """Generate parameters of reads."""
    types = (
        AnalogMVType.ONE_PASS,
        AnalogMVType.POS_NEG_SEPARATE,
        AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM,
    )
    return st.one_of(
        st.just(IOParameters(is_perfect=True)),
        io_parameters(mv_type=st.sampled_from(types)),
    )


def _pulsed_updates() -> st.SearchStrategy[UpdateParameters]:
    """Generate parameters of updates that a cell takes."""
    exact = (PulseType.NONE, PulseType.NONE_WITH_DEVICE)
    pulsed = [kind for kind in PulseType if kind not in exact]
    return update_parameters(pulse_type=st.sampled_from(pulsed))


def _aggregates(device: Any) -> bool:
    """Whether a device, or all devices of a cell, can draw noise once for many pulses."""
    if isinstance(device, Cell):
        return all(map(_aggregates, device.members()))
    return device.kernel in _cpu.AGGREGATING


@st.composite
def io_parameters(draw: st.DrawFn, **fields: Any) -> IOParameters:
    """Generate parameters of a product, most of them not perfect.

    Parameters
    ----------
    **fields
        As for `parameters`.
    """
    if not draw(st.sampled_from([False] * 7 + [True])):
        built = next(
            f for f in attrs.fields(IOParameters) if f.name == "mv_type"
        ).metadata
        analog = [
            member
            for member in built["members"]
            if member not in built["later"] and member is not AnalogMVType.IDEAL
        ]
        usual = {"is_perfect": False, "mv_type": st.sampled_from(analog)}
        fields = {**usual, **fields}
    return draw(parameters(IOParameters, **fields))


def update_parameters(**fields: Any) -> st.SearchStrategy[UpdateParameters]:
    """Generate parameters of an update.

    Parameters
    ----------
    **fields
        As for `parameters`.
    """
    return parameters(UpdateParameters, **fields)


@st.composite
def tile_configs(
    draw: st.DrawFn,
    devices: st.SearchStrategy[Any] | None = None,
    **parts: st.SearchStrategy[Any],
) -> Any:
    """Generate configurations of tiles.

    Parameters
    ----------
    devices : SearchStrategy, optional
        Devices; default: `device_configs()`.
    **parts : SearchStrategy
        Parts of the configuration that are not to be generated in the usual way, such
        as ``forward=st.just(IOParameters(is_perfect=True))``.  A configuration without
        such a part ignores it.
    """
    device = draw(device_configs() if devices is None else devices)
    config: Any = configuration_of(device)
    is_cell = isinstance(device, Cell)
    made = {
        "forward": io_parameters(),
        "backward": io_parameters(),
        "update": _pulsed_updates() if is_cell else update_parameters(),
        **parts,
    }
    for field in attrs.fields(type(config)):
        if field.name == "device":
            continue
        if field.name in made:
            setattr(config, field.name, draw(made[field.name]))
        elif field.metadata.get("kind") == "part":
            values = _values(field)
            assert values is not None
            setattr(config, field.name, draw(values(1)))
    update = getattr(config, "update", None)
    if update is not None and not _aggregates(device):
        # One draw of noise for a mini-batch is not built for every device.
        update.noise_aggregation = NoiseAggregation.PULSE
    return config


@st.composite
def tiles(
    draw: st.DrawFn,
    configs: st.SearchStrategy[Any] | None = None,
    *,
    sizes: st.SearchStrategy[tuple[int, int]] | None = None,
    tile_factory: TileFactory | None = None,
) -> Any:
    """Generate tiles, with and without bias and transposed layouts.

    Parameters
    ----------
    configs : SearchStrategy, optional
        Configurations; default: `tile_configs()`.
    sizes : SearchStrategy, optional
        Pairs ``(out_size, in_size)``; default: `shapes()`.
    tile_factory : callable, optional
        ``(out_size, in_size, rpu_config, bias, in_trans, out_trans, *, rng) -> tile``;
        default: the class of tile that the configuration names.
    """
    config = draw(tile_configs() if configs is None else configs)
    size = draw(shapes() if sizes is None else sizes)
    flags = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    seed = draw(st.integers(0, 2**32))
    factory = config.tile_class if tile_factory is None else tile_factory
    return factory(*size, config, *flags, rng=seed)


# ---- arrays --------------------------------------------------------------------------


def _reversed(array: Floats) -> Floats:
    return np.ascontiguousarray(array[..., ::-1])[..., ::-1]


def _sliced(array: Floats) -> Floats:
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def _read_only(array: Floats) -> Floats:
    array = array.copy()
    array.flags.writeable = False
    return array


_LAYOUTS: tuple[Callable[[Floats], Any], ...] = (
    lambda array: array,
    np.asfortranarray,
    _reversed,
    _sliced,
    _read_only,
    lambda array: array.astype(np.float64),
    lambda array: array.astype(">f4"),
    lambda array: array.tolist(),
)


def layouts(array: Floats) -> st.SearchStrategy[Any]:
    """Generate an array again with the same values in other memory layouts.

    C and Fortran order, reversed and sliced views, read-only, double precision, foreign
    byte order, and nested lists.

    Parameters
    ----------
    array : ndarray of float32
        With at least one axis.
    """
    if array.size == 0:
        return st.just(array)
    return st.sampled_from(_LAYOUTS).map(lambda layout: layout(array))


@st.composite
def arrays(
    draw: st.DrawFn, shape: tuple[int, ...], size: float = 1.0, any_layout: bool = True
) -> Any:
    """Generate arrays of float32.

    Parameters
    ----------
    shape : tuple of int
        Their shape.
    size : float
        Largest magnitude of an element.
    any_layout : bool
        Generate all `layouts`; False: C order.
    """
    limit = float(np.float32(size))
    element = st.floats(-limit, limit, width=32, allow_subnormal=False)
    array = draw(hnp.arrays(np.float32, shape, elements=element))
    return draw(layouts(array)) if any_layout else array


def weights_for(tile: Any, size: float = 1.0) -> st.SearchStrategy[Any]:
    """Generate weights for `tile.set_weights`.

    Parameters
    ----------
    tile : Tile
    size : float
        Largest magnitude.
    """
    return arrays((tile.out_size, tile.in_size), size)


def _batches() -> st.SearchStrategy[tuple[int, ...]]:
    return st.sampled_from([(), (1,), (2,), (5,), (2, 3), (0,)])


def _features(batch: tuple[int, ...], size: int, first: bool) -> tuple[int, ...]:
    return (size, *batch) if first else (*batch, size)


def inputs_for(
    tile: Any, batch: tuple[int, ...] | None = None, size: float = 1.0
) -> st.SearchStrategy[Any]:
    """Generate inputs for `tile.forward`, in the layout that the tile takes.

    Parameters
    ----------
    tile : Tile
    batch : tuple of int, optional
        Shape of the batch; default: several, among them that of one vector and an empty
        one.
    size : float
        Largest magnitude.
    """
    batches = _batches() if batch is None else st.just(batch)
    return batches.flatmap(
        lambda b: arrays(_features(b, tile.in_size, tile.in_trans), size)
    )


def errors_for(
    tile: Any, batch: tuple[int, ...] | None = None, size: float = 1.0
) -> st.SearchStrategy[Any]:
    """Generate errors for `tile.backward`; arguments as of `inputs_for`.

    Parameters
    ----------
    tile : Tile
    batch : tuple of int, optional
        Shape of the batch.
    size : float
        Largest magnitude.
    """
    batches = _batches() if batch is None else st.just(batch)
    return batches.flatmap(
        lambda b: arrays(_features(b, tile.out_size, tile.out_trans), size)
    )


@st.composite
def updates_for(
    draw: st.DrawFn, tile: Any, batch: tuple[int, ...] | None = None, size: float = 1.0
) -> tuple[Any, Any]:
    """Generate pairs ``(x_input, d_input)`` for `tile.update`.

    Parameters
    ----------
    tile : Tile
    batch : tuple of int, optional
        Shape of the batch.
    size : float
        Largest magnitude.
    """
    chosen = draw(_batches()) if batch is None else batch
    x = draw(inputs_for(tile, chosen, size))
    return x, draw(errors_for(tile, chosen, size))


def update_sequences_for(
    tile: Any, most: int = 5
) -> st.SearchStrategy[list[tuple[float, Any, Any]]]:
    """Generate updates that follow each other: ``(learning_rate, x_input, d_input)``.

    Learning rates make about one pulse for a vector, many, or none, and ascend, too.

    Parameters
    ----------
    tile : Tile
    most : int
        Largest number of updates.
    """
    device = tile.rpu_config.device
    unit = device.weight_granularity() if hasattr(device, "dw_min") else 2.0**-6
    rates = st.sampled_from([unit * factor for factor in (1.0, 8.0, 0.0, -1.0, 100.0)])
    one = st.tuples(rates, updates_for(tile)).map(lambda pair: (pair[0], *pair[1]))
    return st.lists(one, min_size=1, max_size=most)
