"""Shapes, transposition and bias of forward, backward and update."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpupy.configs import FloatingPointRPUConfig, MappingParameter
from rpupy.tiles import AnalogTile, FloatingPointTile, Tile

Build = Callable[..., Tile]


def test_analog_bias_example(exact: Build) -> None:
    tile = exact(2, 2, {"digital_bias": False}, bias=True)
    tile.set_weights([[1, 2], [4, 5]], bias=[3, 6])
    assert np.array_equal(tile([1, 1]), [6, 15])
    assert np.array_equal(tile.backward([1, 0]), [1, 2])
    tile.set_learning_rate(1)
    tile.update([1, 2], [1, 0])
    weight, bias = tile.get_weights()
    assert np.array_equal(weight, [[0, 0], [4, 5]])
    assert np.array_equal(bias, [2, 6])
    assert tile.tile.get_weights().shape == (2, 3)


def test_digital_bias_example(exact: Build) -> None:
    tile = exact(2, 2, bias=True)
    assert np.array_equal(tile.bias, [0, 0])
    tile.set_weights([[1, 2], [4, 5]], bias=[3, 6])
    assert np.array_equal(tile([1, 1]), [6, 15])
    assert np.array_equal(tile.backward([1, 0]), [1, 2])
    tile.update([1, 2], [1, 0])
    assert np.array_equal(tile.bias, [3, 6])


@pytest.mark.parametrize("kind", ["none", "digital", "analog"])
@pytest.mark.parametrize("in_trans", [False, True])
@pytest.mark.parametrize("out_trans", [False, True])
@pytest.mark.parametrize("batch", [(), (4,), (2, 5), (2, 1, 3), (0,), (2, 0)])
@pytest.mark.parametrize("columnwise", [None, False, True])
def test_all_layouts_against_plain_products(
    exact: Build,
    kind: str,
    in_trans: bool,
    out_trans: bool,
    batch: tuple[int, ...],
    columnwise: bool | None,
) -> None:
    rng = np.random.default_rng(7)
    # Eighths: all results are exact in float32, whatever the order of sums.
    weight = rng.integers(-8, 9, (3, 5)) / 8
    bias = rng.integers(-8, 9, 3) / 8
    x = rng.integers(-8, 9, (*batch, 5)) / 8
    d = rng.integers(-8, 9, (*batch, 3)) / 8
    mapping = {"digital_bias": kind == "digital"}
    tile = exact(
        3,
        5,
        mapping,
        bias=kind != "none",
        in_trans=in_trans,
        out_trans=out_trans,
    )
    if columnwise is not None:
        tile.set_mapping_scales([0.5, 2.0, 4.0] if columnwise else 2.0)
    scale = np.ones(3) if tile.mapping_scales is None else tile.mapping_scales
    given_bias = None if kind == "none" else bias
    tile.set_weights(weight, given_bias, apply_weight_scaling=False)
    # The logical weights are those of the array times the scales.
    logical = weight * scale.reshape(-1, 1)
    logical_bias = {
        "none": np.zeros(3),
        "digital": bias,
        "analog": bias * scale,
    }[kind]
    assert np.array_equal(tile.get_weights()[0], logical)

    def lay(values: np.ndarray, first: bool) -> np.ndarray:
        return np.moveaxis(values, -1, 0) if first else values

    y = tile.forward(lay(x, in_trans))
    assert y.dtype == np.float32
    expected = lay(x @ logical.T + logical_bias, out_trans)
    assert y.shape == expected.shape
    assert np.array_equal(y, expected)
    g = tile.backward(lay(d, out_trans))
    expected = lay(d @ logical, in_trans)
    assert g.shape == expected.shape
    assert np.array_equal(g, expected)
    tile.set_learning_rate(0.5)
    tile.update(lay(x, in_trans), lay(d, out_trans))
    changed, changed_bias = tile.get_weights()
    errors, inputs = d.reshape(-1, 3), x.reshape(-1, 5)
    # Divided by the scales, multiplied again: sums of 16ths and 32nds stay exact.
    assert np.array_equal(changed, logical - 0.5 * errors.T @ inputs)
    if kind == "analog":
        assert np.array_equal(changed_bias, logical_bias - 0.5 * errors.sum(axis=0))


def test_out(exact: Build) -> None:
    tile = exact(2, 3, bias=True)
    tile.set_weights(np.ones((2, 3)), [1, 2])
    tile.set_mapping_scales([2.0, 3.0])
    out = np.empty((4, 2), dtype=np.float32)
    assert tile.forward(np.ones((4, 3)), out=out) is out
    assert np.array_equal(out, [[7, 11]] * 4)
    back = np.empty((4, 3), dtype=np.float32)
    assert tile.backward(np.ones((4, 2)), out=back) is back
    assert np.array_equal(back, np.full((4, 3), 5))


def test_call_is_forward(exact: Build) -> None:
    tile = exact(2, 3)
    x = np.arange(3.0)
    assert np.array_equal(tile(x), tile.forward(x))


@pytest.mark.parametrize("scales", [None, 2.0, [1.0, 2.0, 4.0]])
@pytest.mark.parametrize("trans", [False, True])
def test_wrong_shapes_are_refused(exact: Build, scales: object, trans: bool) -> None:
    tile = exact(3, 4, bias=True, in_trans=trans, out_trans=trans)
    tile.set_mapping_scales(scales)
    before = tile.get_weights()[0]
    wide = r"\(3, \.\.\.\)" if trans else r"\(\.\.\., 3\)"
    long = r"\(4, \.\.\.\)" if trans else r"\(\.\.\., 4\)"
    # A single feature would broadcast against one scale for each output.
    for shape in [(2, 2), (1, 1), (1,), (), (5, 7, 2)]:
        text = str(shape).replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(
            ValueError, match=f"d_input must have shape {wide}, got {text}"
        ):
            tile.backward(np.ones(shape))
        with pytest.raises(
            ValueError, match=f"x_input must have shape {long}, got {text}"
        ):
            tile.forward(np.ones(shape))
        with pytest.raises(
            ValueError, match=f"d_input must have shape {wide}, got {text}"
        ):
            tile.update(np.ones((4, 4)), np.ones(shape))
    with pytest.raises(ValueError, match="must have the leading shape of x_input"):
        tile.update(np.ones((4, 4)), np.ones((3, 3) if trans else (2, 3)))
    with pytest.raises(TypeError, match="d_input must be an array of real numbers"):
        tile.backward(np.ones((3, 3), dtype=complex))
    assert np.array_equal(tile.get_weights()[0], before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_updates_with_values_that_are_not_finite_change_nothing(
    exact: Build, bad: float
) -> None:
    tile = exact(2, 2)
    tile.set_mapping_scales([2.0, 3.0])
    before = tile.get_weights()[0]
    with pytest.raises(ValueError, match="d_input must be finite"):
        tile.update([1, 1], [bad, 1])
    with pytest.raises(ValueError, match="x_input must be finite"):
        tile.update([1, bad], [1, 1])
    assert np.array_equal(tile.get_weights()[0], before)


def test_nan_stays_in_its_vector(exact: Build) -> None:
    tile = exact(2, 2, bias=True)
    tile.set_mapping_scales([2.0, 3.0])
    x = np.ones((3, 2))
    clean = tile(x)
    x[1, 0] = np.nan
    y = tile(x)
    assert np.isnan(y[1]).all()
    assert np.array_equal(y[[0, 2]], clean[[0, 2]])


def _variants(values: np.ndarray) -> list[np.ndarray]:
    """The same numbers in memory of many kinds."""
    padded = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), dtype=values.dtype)
    padded[..., ::2] = values
    frozen = values.copy()
    frozen.flags.writeable = False
    return [
        values,
        np.asfortranarray(values),
        values.astype(np.float64),
        values.astype(">f4"),
        padded[..., ::2],
        values[::-1].copy()[::-1],
        frozen,
        values.tolist(),
    ]


def test_memory_of_any_kind_gives_the_same_bits(
    noisy: Callable[..., AnalogTile],
) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4, 6)).astype(np.float32)
    d = rng.standard_normal((4, 3)).astype(np.float32)
    first = noisy(3, 6, rng=5, bias=True)
    results = []
    for one, two in zip(_variants(x), _variants(d), strict=True):
        tile = first.copy()
        y, g = tile(one), tile.backward(two)
        tile.update(one, two)
        results.append((y, g, tile.get_weights()[0]))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert np.array_equal(a, b)


@given(
    out_size=st.integers(1, 9),
    in_size=st.integers(1, 9),
    batch=st.integers(0, 5),
    bias=st.booleans(),
    digital=st.booleans(),
    in_trans=st.booleans(),
    out_trans=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_transposition_only_moves_axes(
    out_size: int,
    in_size: int,
    batch: int,
    bias: bool,
    digital: bool,
    in_trans: bool,
    out_trans: bool,
    seed: int,
) -> None:
    config = FloatingPointRPUConfig(mapping=MappingParameter(digital_bias=digital))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, in_size)).astype(np.float32)
    d = rng.standard_normal((batch, out_size)).astype(np.float32)
    straight = FloatingPointTile(out_size, in_size, config, bias, rng=seed)
    turned = FloatingPointTile(
        out_size, in_size, config, bias, in_trans, out_trans, rng=seed
    )
    xt = x.T if in_trans else x
    dt = d.T if out_trans else d
    y, g = turned(xt), turned.backward(dt)
    assert np.array_equal(straight(x), y.T if out_trans else y)
    assert np.array_equal(straight.backward(d), g.T if in_trans else g)
    straight.update(x, d)
    turned.update(xt, dt)
    assert np.array_equal(straight.tile.get_weights(), turned.tile.get_weights())
