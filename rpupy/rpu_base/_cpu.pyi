from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

_Floats = NDArray[np.float32]
_Words = NDArray[np.uint32]
_Counts = NDArray[np.int64]

# Number, whether it is pulsed, names of its parameters, names of its own planes.
DEVICES: dict[str, tuple[int, bool, tuple[str, ...], tuple[str, ...]]]
AGGREGATING: frozenset[str]
FIELDS: dict[str, tuple[str, ...]]

def available_isas() -> tuple[str, ...]: ...
def isa() -> str: ...
def openmp_enabled() -> bool: ...
def max_threads() -> int: ...
def compiler() -> str: ...
def decay_factor(number: int, own: _Floats, alpha: float) -> float: ...
def draw_words(
    counters: ArrayLike, key: ArrayLike, isa_name: str | None = None
) -> _Words: ...
def words_to_normals(words: ArrayLike, isa_name: str | None = None) -> _Floats: ...
def evaluate(
    function: Literal["log", "exp", "pow"],
    a: NDArray[Any],
    b: ArrayLike | None = None,
    isa_name: str | None = None,
) -> _Floats: ...

class DefaultEnvironment:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...

class CpuBackend:
    def __init__(
        self,
        out_size: int,
        in_size: int,
        key: Sequence[int],
        isa_name: str | None = None,
    ) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def weights_version(self) -> int: ...
    def weights_changed(self) -> None: ...
    def nbytes(self) -> int: ...
    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]: ...
    def array_from(self, value: NDArray[Any]) -> NDArray[Any]: ...
    def read(self, array: NDArray[Any]) -> NDArray[Any]: ...
    def write(self, array: NDArray[Any], value: NDArray[Any]) -> None: ...
    def copy(self, target: NDArray[Any], source: NDArray[Any]) -> None: ...
    def all_finite(self, array: _Floats) -> bool: ...
    def product(
        self,
        weights: _Floats,
        inputs: _Floats,
        outputs: _Floats,
        batch: int,
        backward: bool,
        io: _Floats,
        ordinal: int,
        stream: int,
        threads: int,
        drawn: dict[str, _Floats] | None = None,
        stages: dict[int, _Floats] | None = None,
        read_array: Any = None,
        rounds: _Counts | None = None,
        counter: tuple[dict[str, int], str] | None = None,
    ) -> None: ...
    def uncount(self) -> None: ...
    def settle(self) -> None: ...
    def update_exact(
        self,
        weights: _Floats,
        x: _Floats,
        d: _Floats,
        batch: int,
        lr: float,
        low: _Floats | None,
        high: _Floats | None,
        threads: int,
        counter: tuple[dict[str, int], str] | None = None,
    ) -> None: ...
    def longest_train(self, update: _Floats, lr: float, granularity: float) -> int: ...
    def update_pulsed(
        self,
        number: int,
        weights: _Floats,
        apparent: _Floats | None,
        pulse_ordinals: _Words,
        pulse_counters: NDArray[np.int64] | None,
        cell: tuple[_Floats, ...],
        own: _Floats,
        update: _Floats,
        x: _Floats,
        d: _Floats,
        batch: int,
        lr: float,
        granularity: float,
        dw_min_std: float,
        write_noise: float,
        ordinal: int,
        threads: int,
        tally: _Counts | None = None,
        zeros: _Floats | None = None,
        counter: tuple[dict[str, int], str] | None = None,
    ) -> None: ...
    def count_pulses(
        self,
        update: _Floats,
        x: _Floats,
        d: _Floats,
        batch: int,
        lr: float,
        granularity: float,
        ordinal: int,
        first_row: int,
        rows: int,
        threads: int,
        tally: _Counts | None = None,
        zeros: _Floats | None = None,
    ) -> NDArray[np.int32]: ...
    def pulse_normals(
        self, crosspoints: _Words, ordinals: _Words, threads: int
    ) -> _Floats: ...
    def show_pulses(
        self,
        weights: _Floats,
        apparent: _Floats,
        pulse_ordinals: _Words,
        crosspoints: _Words,
        write_noise: float,
    ) -> None: ...
    def update_compound(
        self,
        nodes: list[dict[str, Any]],
        counters: NDArray[np.int64],
        x: _Floats,
        d: _Floats,
        batch: int,
        lr: float,
        ordinal: int,
        update: _Floats,
        stepwise: bool,
        threads: int,
        zeros: _Floats | None = None,
        counter: tuple[dict[str, int], str] | None = None,
        names: list[str] | None = None,
    ) -> None: ...
    def reduce_compound(
        self, nodes: list[dict[str, Any]], counters: NDArray[np.int64], threads: int
    ) -> None: ...
    def populate(
        self,
        number: int,
        key: Sequence[int],
        pulsed: _Floats,
        own: _Floats,
        cell: tuple[_Floats, ...],
        upkeep: tuple[_Floats, ...],
        threads: int,
        plane: int = 0,
    ) -> None: ...
    def upkeep(
        self,
        operation: str,
        weights: _Floats,
        low: _Floats,
        high: _Floats,
        *,
        values: Sequence[_Floats] = (),
        numbers: Sequence[float] = (),
        ordinal: int = 0,
        first_column: int = 0,
        columns: int = 0,
        target: _Floats | None = None,
        drift: _Floats | None = None,
        now: float = 0.0,
        start: _Floats | None = None,
        since: _Floats | None = None,
        previous: _Floats | None = None,
        threads: int = 1,
        plane: int = 0,
    ) -> None: ...
