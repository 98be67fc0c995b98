"""An interrupt (Ctrl-C) in a long call leaves the tile as before the call, or as after it."""

import signal
import time

import numpy as np
import pytest

from rpupy.configs import (
    BufferedTransferCompound,
    ConstantStepDevice,
    FloatingPointRPUConfig,
    MixedPrecisionCompound,
    SingleRPUConfig,
    SoftBoundsDevice,
)
from rpupy.testing.bench import configuration_of
from rpupy.tiles import AnalogTile, FloatingPointTile

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="no timers on this system"
)
SIZE = 64
CONFIGS = {
    "single": SingleRPUConfig(device=ConstantStepDevice()),
    "write_noise": SingleRPUConfig(device=SoftBoundsDevice(write_noise_std=1.0)),
    "transfer": configuration_of(
        BufferedTransferCompound(
            unit_cell_devices=[ConstantStepDevice()] * 2,
            units_in_mbatch=False,
            fast_lr=0.1,
        )
    ),
    "mixed": configuration_of(MixedPrecisionCompound(device=ConstantStepDevice())),
    "exact": FloatingPointRPUConfig(),
}


class Interrupted(BaseException):
    """What the handler of the signal raises, as that of Ctrl-C does."""


def interrupted(call, seconds):
    """Whether a signal after so many seconds ended the call."""

    def interrupt(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        call()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    except Interrupted:
        return True
    finally:
        signal.signal(signal.SIGALRM, before)
    return False


def fingerprint(tile):
    state = tile.__getstate__()
    arrays = {name: array.tobytes() for name, array in state["arrays"].items()}
    return repr(state["plain"]), arrays


def duration(call, arguments):
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


@pytest.mark.parametrize("method", ["forward", "backward", "update"])
@pytest.mark.parametrize("name", CONFIGS)
def test_an_interrupted_call_is_made_or_not(name, method, any_backend):
    cls = FloatingPointTile if name == "exact" else AnalogTile
    tile = cls(SIZE, SIZE, CONFIGS[name], rng=1)._to_backend(any_backend)
    rng = np.random.default_rng(2)
    # Long enough for the signal to come while the kernel runs.
    arguments = rng.normal(0.0, 0.3, (2, 20, SIZE)).astype(np.float32)
    seconds = 0.0
    while seconds < 0.02 and arguments.shape[1] < 10**6:
        arguments = np.concatenate([arguments, arguments], axis=1)
        given = arguments if method == "update" else arguments[:1]
        seconds = min(duration(getattr(tile.copy(), method), given) for _ in range(3))
    came = 0
    # Where a machine is busy, a signal may come too late.
    for attempt in range(30):
        before, whole = fingerprint(tile), tile.copy()
        getattr(whole, method)(*given)
        part = (0.5, 0.2, 0.1, 0.4, 0.05)[attempt % 5]
        came += interrupted(lambda: getattr(tile, method)(*given), part * seconds)
        assert fingerprint(tile) in (before, fingerprint(whole))
        if came == 3:
            break
    assert came > 0
