"""What every backend needs before a kernel runs: checked arrays and packed parameters."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from rpupy.errors import ConfigError
from rpupy.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseAggregation,
    NoiseManagementType,
    PulseType,
    VectorUnitCellUpdatePolicy,
    WeightNoiseType,
)
from rpupy.parameters.io import IOParametersIRDropT
from rpupy.rpu_base import _cpu

Floats = NDArray[np.float32]

#: The largest number of float32.
LARGEST = float(np.finfo(np.float32).max)

#: Codes of enum members in kernels: the enums of csrc/mvm/io.h and csrc/pulse.h.
_CODES: dict[enum.Enum, int] = {
    NoiseManagementType.NONE: 0,
    NoiseManagementType.ABS_MAX: 1,
    NoiseManagementType.MAX: 2,
    NoiseManagementType.CONSTANT: 3,
    NoiseManagementType.ABS_MAX_NP_SUM: 4,
    NoiseManagementType.AVERAGE_ABS_MAX: 5,
    BoundManagementType.NONE: 0,
    BoundManagementType.ITERATIVE: 1,
    BoundManagementType.ITERATIVE_WORST_CASE: 2,
    WeightNoiseType.NONE: 0,
    WeightNoiseType.ADDITIVE_CONSTANT: 1,
    NoiseAggregation.PULSE: 0,
    NoiseAggregation.BATCH: 1,
    WeightNoiseType.PCM_READ: 2,
    AnalogMVType.IDEAL: 0,
    AnalogMVType.ONE_PASS: 0,
    AnalogMVType.POS_NEG_SEPARATE: 1,
    AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM: 2,
    AnalogMVType.SPLIT_MODE: 3,
    AnalogMVType.BIT_WISE: 4,
    # One pass over other weights (nodal.py).
    AnalogMVType.NODAL: 0,
    VectorUnitCellUpdatePolicy.ALL: 0,
    VectorUnitCellUpdatePolicy.SINGLE_FIXED: 1,
    VectorUnitCellUpdatePolicy.SINGLE_SEQUENTIAL: 2,
    VectorUnitCellUpdatePolicy.SINGLE_RANDOM: 3,
    PulseType.STOCHASTIC_COMPRESSED: 0,
    # The signs of x in two passes: crosspoints get the same pulses.
    PulseType.STOCHASTIC: 0,
    PulseType.MEAN_COUNT: 1,
    PulseType.DETERMINISTIC_IMPLICIT: 2,
    PulseType.NONE: -1,
    PulseType.NONE_WITH_DEVICE: -1,
}

#: Fields of a device that act in Python, not in a kernel.
_PYTHON_FIELDS = frozenset(
    {
        "construction_seed",
        "count_pulses",
        "drift",
        "write_noise_std",
        "apply_write_noise_on_set",
    }
)


#: Negative values of these mean 0.
_AT_LEAST_ZERO = frozenset(
    {
        "diffusion",
        "lifetime",
        "reset_std",
        "reset_dtod",
        "ir_drop",
        "out_asymmetry",
        "r_series",
    }
)


def number_of(value: object) -> float:
    """Return a parameter as the number that kernels take."""
    if isinstance(value, enum.Enum):
        return float(_CODES[value])
    return float(value)  # type: ignore[arg-type]


def vectors_of(names: tuple[str, ...]) -> dict[str, int]:
    """Return the fields that are vectors, and how many values each has room for.

    They stand as ``name[room]`` among the names (csrc/fields.h).
    """
    vectors = (name[:-1].split("[") for name in names if name.endswith("]"))
    return {name: int(room) for name, room in vectors}


def attributes_of(names: tuple[str, ...]) -> set[str]:
    """Return the attributes that fields of these names are packed from."""
    vectors = vectors_of(names)
    plain = {name.partition("[")[0] for name in names}
    return plain - {f"{name}_size" for name in vectors}


def pack(names: tuple[str, ...], source: object) -> Floats:
    """Pack attributes into float32, by name; ``drift_x`` is ``source.drift.x``.

    ``x[n]`` is a list of at most n numbers, and ``x_size`` says how many.
    """
    vectors = vectors_of(names)
    values: list[float] = []
    for name in names:
        owner, attribute = source, name.partition("[")[0]
        if name.startswith("drift_"):
            owner, attribute = getattr(source, "drift", None), name[len("drift_") :]
        if attribute in vectors:
            given = getattr(owner, attribute)
            values += [*given, *[0.0] * (vectors[attribute] - len(given))]
        elif attribute.removesuffix("_size") in vectors:
            values.append(len(getattr(owner, attribute.removesuffix("_size"))))
        else:
            # A part that the configuration lacks (no drift, or drift without spread)
            # is 0.
            value = number_of(getattr(owner, attribute, 0.0))
            values.append(max(value, 0.0) if name in _AT_LEAST_ZERO else value)
    return np.array(values or [0.0], dtype=np.float32)


def pack_io(io: object) -> Floats:
    """Pack the parameters of one direction of the product."""
    values = pack(_cpu.FIELDS["io"], io)
    if getattr(io, "mv_type", None) is AnalogMVType.IDEAL:
        values[_cpu.FIELDS["io"].index("is_perfect")] = 1.0
    elif isinstance(io, IOParametersIRDropT) and not io.is_perfect:
        for name, value in _pack_slices(io).items():
            values[_cpu.FIELDS["io"].index(name)] = value
    return values


def _pack_slices(io: IOParametersIRDropT) -> dict[str, float]:
    """Pack what an array that is read in time slices has instead, or more."""
    slices = io.levels() + 1.0
    if io.mv_type is AnalogMVType.ONE_PASS:
        # The small part keeps a rounding of the resolution from counting.
        slices = int(slices * io.ir_drop_time_step_resolution_scale + 1e-6)
    phases = {AnalogMVType.SPLIT_MODE: 2, AnalogMVType.BIT_WISE: io.bits() - 1}
    return {
        "ir_drop": 0.0,  # that of the steady state
        "out_asymmetry": io.out_asymmetry,
        "slices": round(slices),
        "half_slice": 0.0 if io.ir_drop_integration_sum else 0.5,
        "bit_shift": io.split_mode_bit_shift,
        "phases": phases.get(io.mv_type, 1),
    }


def perfect_io() -> Floats:
    """Pack the parameters of an exact product."""
    values = np.zeros(len(_cpu.FIELDS["io"]), dtype=np.float32)
    values[_cpu.FIELDS["io"].index("is_perfect")] = 1.0
    values[_cpu.FIELDS["io"].index("out_scale")] = 1.0
    return values


def conversions(io: Floats) -> tuple[int, int, int]:
    """Count what one vector does in one round of bound management.

    Parameters
    ----------
    io : ndarray of float32
        What `pack_io` returned.

    Returns
    -------
    passes : int
        Passes over the array.
    dac, adc : int
        Conversions of each input and of each output; none of an exact product.
    """

    def value(name: str) -> float:
        return float(io[_cpu.FIELDS["io"].index(name)])

    if value("is_perfect") != 0.0:
        return 1, 0, 0
    kind = value("mv_type")
    separate = number_of(AnalogMVType.POS_NEG_SEPARATE)
    digital_sum = number_of(AnalogMVType.POS_NEG_SEPARATE_DIGITAL_SUM)
    passes = 2 if kind in (separate, digital_sum) else max(1, int(value("phases")))
    # The currents of both signs meet before the converter; other passes have one each.
    return passes, passes, 1 if kind == separate else passes


@dataclass(frozen=True)
class Binding:
    """A device configuration class and the kernel that it names."""

    number: int
    pulsed: bool
    params: tuple[str, ...]
    cell: tuple[str, ...]


def bind_device(config_class: type) -> Binding:
    """Find the kernel of a device configuration class and match their fields by name.

    Raises
    ------
    ConfigError
        If the class names no kernel, or one has a field that the other lacks.
    """
    kernel = getattr(config_class, "kernel", None)
    if kernel == "numpy":
        raise ConfigError(
            f"{config_class.__name__} is a NumpyDevice and must be the device of a"
            " SingleRPUConfig itself, not a part of a unit cell or compound"
        )
    if kernel not in _cpu.DEVICES:
        raise ConfigError(
            f"{config_class.__name__}.kernel must name a device kernel"
            f" ({', '.join(sorted(_cpu.DEVICES))}), got {kernel!r}"
        )
    number, pulsed, params, cell = _cpu.DEVICES[kernel]
    taken = attributes_of(params) | (set(_cpu.FIELDS["pulsed"]) if pulsed else set())
    taken = {name for name in taken if not name.startswith("drift_")}
    has = {field.name for field in attrs.fields(config_class)}
    missing, spare = taken - has, has - taken - _PYTHON_FIELDS
    if missing or spare:
        raise ConfigError(
            f"{config_class.__name__} must have the fields of its kernel {kernel!r};"
            f" missing: {sorted(missing)}, not known to the kernel: {sorted(spare)}"
        )
    return Binding(number, pulsed, params, cell)


def real_array(value: Any, name: str) -> Floats:
    """Convert to an aligned float32 array in C order; one that is so is not copied.

    Raises
    ------
    TypeError
        If the elements are not real numbers.
    ValueError
        If some are masked: a product or an update cannot leave them out.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{name} must have no masked elements, got {np.ma.count_masked(value)}"
        )
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must be an array of real numbers, got dtype {array.dtype}"
        )
    if array.dtype == np.float32 and array.flags.c_contiguous and array.flags.aligned:
        return array
    with np.errstate(over="ignore", under="ignore"), _cpu.DefaultEnvironment():
        return np.array(array, dtype=np.float32, order="C")


def matrix(value: Any, name: str, shape: tuple[int, int]) -> Floats:
    """Convert to a float32 matrix of the given shape with finite elements.

    Raises
    ------
    TypeError, ValueError
        If the elements are not real numbers, the shape differs, or one is not finite.
    """
    array = real_array(value, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN, inf or a number too large")
    return array


def real_number(value: Any, name: str) -> float:
    """Convert a finite real scalar.

    Raises
    ------
    TypeError, ValueError
        If it is not a real number, or not finite in float32.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= LARGEST:
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def whole_number(value: Any, name: str) -> int:
    """Convert an integer scalar; bools and floats are refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return int(value)


def size(value: Any, name: str) -> int:
    """Convert a number of lines: an integer of at least 1 and below 2**31."""
    number = whole_number(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    if number >= 2**31:
        raise ValueError(f"{name} must be below 2**31, got {value!r}")
    return number
