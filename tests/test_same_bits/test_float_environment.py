"""The caller's floating-point environment reaches no result, and is left as it was."""

import contextlib
import ctypes
import platform
import shutil
import subprocess

import numpy as np
import pytest
import same_bits_runs as runs

import rpupy
from rpupy.configs import (
    FloatingPointDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOParameters,
    SingleRPUConfig,
    SoftBoundsDevice,
)
from rpupy.tiles import AnalogTile, FloatingPointTile

DEFAULT = 0x1F80
FLUSH_TO_ZERO, DENORMALS_ARE_ZERO = 0x8000, 0x0040
ROUND_DOWN, ROUND_UP, ROUND_TO_ZERO = 0x2000, 0x4000, 0x6000
FLUSHING = DEFAULT | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO
CONTROL = 0xFFC0
TINY = np.finfo(np.float32).tiny

HELPER = """
#include <xmmintrin.h>
unsigned get_csr(void) { return _mm_getcsr(); }
void set_csr(unsigned csr) { _mm_setcsr(csr); }
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Context manager that sets MXCSR and checks that it is left so."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("MXCSR is a register of x86")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler to build the helper with")
    folder = tmp_path_factory.mktemp("csr")
    (folder / "csr.c").write_text(HELPER)
    subprocess.run(
        [compiler, "-O1", "-fPIC", "-shared", "-o", "csr.so", "csr.c"],
        cwd=folder,
        check=True,
        timeout=60,
    )
    library = ctypes.CDLL(str(folder / "csr.so"))
    library.get_csr.restype = ctypes.c_uint
    library.set_csr.argtypes = [ctypes.c_uint]

    @contextlib.contextmanager
    def setting(csr):
        before = library.get_csr()
        library.set_csr(csr)
        try:
            yield
            after = library.get_csr()
        finally:
            library.set_csr(before)
        assert after & CONTROL == csr & CONTROL

    return setting


def denormals(shape, seed):
    """Numbers of about 1e-40, of both signs."""
    return runs.numbers(shape, seed) * np.float32(1e-40)


def is_denormal(array):
    return (np.abs(array) > 0) & (np.abs(array) < TINY)


def test_the_helper_really_flushes(environment):
    x = denormals((64,), 1)
    assert is_denormal(x).any()
    with environment(FLUSHING):
        y = x * np.float32(0.5)
        seen = bool((x * np.float32(2.0**100)).any())
    assert not y.any()
    assert not seen
    assert is_denormal(x * np.float32(0.5)).any()


# ---- exact tiles, whose every operation makes denormals ----------------------------


def exact_config():
    device = FloatingPointDevice(lifetime=3.0)
    return FloatingPointRPUConfig(device=device)


def perfect(device):
    return SingleRPUConfig(
        device=device,
        forward=IOParameters(is_perfect=True),
        backward=IOParameters(is_perfect=True),
    )


TILES = {
    "floating_point": (FloatingPointTile, exact_config),
    "ideal": (AnalogTile, lambda: perfect(IdealDevice(lifetime=3.0))),
    "soft_bounds": (AnalogTile, lambda: perfect(SoftBoundsDevice(lifetime=3.0))),
}
OUT, IN, BATCH = 211, 157, 64


def calls_on(kind):
    """Name -> call that returns an array with denormal numbers in it."""
    cls, config = TILES[kind]

    def tile(weights):
        made = cls(OUT, IN, config(), rng=1)
        made.set_learning_rate(0.5)
        made.set_weights(weights)
        return made

    small, large = denormals((OUT, IN), 1), runs.numbers((OUT, IN), 1)
    small_x, large_x = denormals((BATCH, IN), 2), runs.numbers((BATCH, IN), 2)
    small_d, large_d = denormals((BATCH, OUT), 3), runs.numbers((BATCH, OUT), 3)

    def weights_after(call):
        made = tile(small)
        call(made)
        return made.tile.get_weights()

    calls = {
        "forward, small weights": lambda: tile(small).forward(large_x),
        "forward, small inputs": lambda: tile(large).forward(small_x),
        "forward, one vector": lambda: tile(small).forward(large_x[0]),
        "backward, small weights": lambda: tile(small).backward(large_d),
        "backward, small inputs": lambda: tile(large).backward(small_d),
        "set_weights": lambda: weights_after(lambda t: None),
        "decay": lambda: weights_after(lambda t: t.decay_weights()),
        "clip": lambda: weights_after(lambda t: t.clip_weights(1.0)),
    }
    if kind != "soft_bounds":
        calls["update"] = lambda: weights_after(lambda t: t.update(large_x, small_d))
    return calls


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in TILES for name in calls_on(kind)]
)
def test_flushing_of_denormals_reaches_no_result(kind, name, n_threads, environment):
    call = calls_on(kind)[name]
    expected = call()
    assert is_denormal(expected).any(), "the test would see nothing"
    rpupy.set_num_threads(n_threads)
    with environment(FLUSHING):
        result = call()
    np.testing.assert_array_equal(result.view(np.uint32), expected.view(np.uint32))


def scaled_config():
    config = perfect(IdealDevice())
    config.mapping.weight_scaling_omega = 1.0
    return config


def small_input():
    tile = FloatingPointTile(1, IN, rng=1)
    x = denormals((BATCH, IN), 2).astype(np.float64)
    return lambda: tile.copy().forward(x)


def small_limit():
    def clipped():
        tile = FloatingPointTile(OUT, IN, rng=1)
        tile.clip_weights(3e-41)
        return tile.tile.get_weights()

    return clipped


def written_with_scales():
    # One weight of 1 keeps the scale at 1, and what is written at what was given.
    weights = denormals((OUT, IN), 1)
    weights[0, 0] = 1.0

    def written():
        tile = AnalogTile(OUT, IN, scaled_config(), rng=1)
        tile.set_weights(weights)
        return tile.tile.get_weights()

    return written


def product_with_scales():
    tile = AnalogTile(OUT, IN, scaled_config(), rng=1)
    tile.set_weights(np.ones((OUT, IN)))
    tile.set_mapping_scales(2.0**-120)
    x = runs.numbers((BATCH, IN), 2) * np.float32(1e-5)
    return lambda: tile.copy().forward(x)


@pytest.mark.parametrize(
    "prepare", [small_input, small_limit, written_with_scales, product_with_scales]
)
def test_flushing_reaches_nothing_around_the_kernels(prepare, environment):
    call = prepare()
    expected = call()
    assert is_denormal(expected).any(), "the test would see nothing"
    with environment(FLUSHING):
        result = call()
    np.testing.assert_array_equal(result.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("name", ["everything_large", "linear_step_small", "ideal_few"])
def test_training_does_not_see_flushing(name, n_threads, environment, reference):
    expected = reference(name)
    rpupy.set_num_threads(n_threads)
    with environment(FLUSHING):
        result = runs.run(runs.SCENARIOS[name])
    assert result == expected


@pytest.mark.parametrize("rounding", [ROUND_DOWN, ROUND_UP, ROUND_TO_ZERO])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_rounding_of_the_caller_reaches_no_product(n_threads, rounding, environment):
    scenario = runs.SCENARIOS["ideal_large"]
    x = runs.numbers((scenario.batch, scenario.in_size), 1)
    d = runs.numbers((scenario.batch, scenario.out_size), 2)
    first, second = scenario.tile(), scenario.tile()
    expected = [first.forward(x), first.backward(d)]
    rpupy.set_num_threads(n_threads)
    with environment(DEFAULT | rounding):
        result = [second.forward(x), second.backward(d)]
    for a, b in zip(result, expected, strict=True):
        np.testing.assert_array_equal(a, b)
