from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

_Floats = NDArray[np.float32]
_Host = NDArray[Any]
_Counts = NDArray[np.int64]

def device_count() -> int: ...
def why_unavailable() -> str: ...

class Stream:
    def __init__(self, device: int) -> None: ...
    @property
    def device(self) -> int: ...
    @property
    def handle(self) -> int: ...
    def wait(self) -> None: ...

class Mark:
    def __init__(self, stream: Stream) -> None: ...
    def milliseconds_since(self, earlier: Mark) -> float: ...

class DeviceArray:
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def stream(self) -> Stream: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def device(self) -> int: ...
    def numpy(self) -> _Host: ...
    def reshape(self, shape: Sequence[int]) -> DeviceArray: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...

# A single number of the state stays on the host, and so may vectors.
_Plane: TypeAlias = DeviceArray | _Host

class CudaBackend:
    def __init__(
        self,
        out_size: int,
        in_size: int,
        key: Sequence[int],
        device: int | None = None,
    ) -> None: ...
    @property
    def stream(self) -> Stream: ...
    @property
    def device(self) -> int: ...
    @property
    def weights_version(self) -> int: ...
    def weights_changed(self) -> None: ...
    def nbytes(self) -> int: ...
    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> _Plane: ...
    def empty(self, shape: tuple[int, ...]) -> DeviceArray: ...
    def array_from(self, value: _Host) -> _Plane: ...
    def read(self, array: _Plane) -> _Host: ...
    def write(self, array: DeviceArray, value: _Host) -> None: ...
    def duplicate(self, array: _Plane) -> _Plane: ...
    def copy(self, target: DeviceArray, source: DeviceArray) -> None: ...
    def device_array(self, value: Any, name: str) -> DeviceArray | None: ...
    def wait(self) -> None: ...
    def all_finite(self, array: _Plane) -> bool: ...
    def product(
        self,
        weights: DeviceArray,
        inputs: _Plane,
        outputs: _Plane,
        batch: int,
        backward: bool,
        io: _Floats,
        ordinal: int,
        stream: int,
        threads: int,
        drawn: dict[str, _Plane] | None = None,
        stages: dict[int, _Floats] | None = None,
        read_array: Any = None,
        rounds: _Counts | None = None,
        counter: tuple[dict[str, int], str] | None = None,
    ) -> None: ...
    def uncount(self) -> None: ...
    def forget(self) -> None: ...
    def settle(self) -> None: ...
    def update_exact(
        self,
        weights: DeviceArray,
        x: _Plane,
        d: _Plane,
        batch: int,
        lr: float,
        low: DeviceArray | None,
        high: DeviceArray | None,
        threads: int,
        counter: tuple[dict[str, int], str] | None = None,
    ) -> None: ...
    def longest_train(self, update: _Floats, lr: float, granularity: float) -> int: ...
    def update_pulsed(
        self,
        number: int,
        weights: DeviceArray,
        apparent: DeviceArray | None,
        pulse_ordinals: DeviceArray,
        pulse_counters: DeviceArray | None,
        cell: tuple[DeviceArray, ...],
        own: _Floats,
        update: _Floats,
        x: _Plane,
        d: _Plane,
        batch: int,
        lr: float,
        granularity: float,
        dw_min_std: float,
        write_noise: float,
        ordinal: int,
        threads: int,
        tally: _Counts | None = None,
        zeros: _Plane | None = None,
        counter: tuple[dict[str, int], str] | None = None,
    ) -> None: ...
    def update_compound(
        self,
        nodes: list[dict[str, Any]],
        counters: NDArray[np.int64],
        x: _Plane,
        d: _Plane,
        batch: int,
        lr: float,
        ordinal: int,
        update: _Floats,
        stepwise: bool,
        threads: int,
        zeros: _Plane | None = None,
        counter: tuple[dict[str, int], str] | None = None,
        names: list[str] | None = None,
    ) -> None: ...
    def reduce_compound(
        self,
        nodes: list[dict[str, Any]],
        counters: NDArray[np.int64],
        threads: int,
    ) -> None: ...
    def populate(
        self,
        number: int,
        key: Sequence[int],
        pulsed: _Floats,
        own: _Floats,
        cell: tuple[DeviceArray, ...],
        upkeep: tuple[_Plane, ...],
        threads: int,
        plane: int = 0,
    ) -> None: ...
    def upkeep(
        self,
        operation: str,
        weights: DeviceArray,
        low: _Plane,
        high: _Plane,
        *,
        values: Sequence[_Plane] = (),
        numbers: Sequence[float] = (),
        ordinal: int = 0,
        first_column: int = 0,
        columns: int = 0,
        target: DeviceArray | None = None,
        drift: _Floats | None = None,
        now: float = 0.0,
        start: DeviceArray | None = None,
        since: DeviceArray | None = None,
        previous: DeviceArray | None = None,
        threads: int = 1,
        plane: int = 0,
    ) -> None: ...
    def gather_vectors(
        self,
        array: DeviceArray,
        batch_shape: tuple[int, ...],
        size: int,
        features_first: bool,
    ) -> DeviceArray: ...
    def scatter_vectors(
        self, array: DeviceArray, shown: int, features_first: bool
    ) -> DeviceArray: ...
    def scale_vectors(
        self,
        array: DeviceArray,
        operation: str,
        scales: _Floats,
        features_first: bool,
    ) -> DeviceArray: ...
