"""Names and classes: which tile, which core, which kernel."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from rpupy import registry
from rpupy.configs import (
    ConstantStepDevice,
    FloatingPointRPUConfig,
    IdealDevice,
    IOManagedRPUConfig,
    PulsedDevice,
    SingleRPUConfig,
)
from rpupy.errors import BackendUnavailableError, ConfigError
from rpupy.parameters import config_class, define
from rpupy.rpu_base import cuda
from rpupy.rpu_base.core import CpuTile
from rpupy.tiles import AnalogTile, FloatingPointTile


def test_tile_classes() -> None:
    assert registry.tile_class(SingleRPUConfig()) is AnalogTile
    assert registry.tile_class(FloatingPointRPUConfig()) is FloatingPointTile
    assert SingleRPUConfig().tile_class is AnalogTile


def test_a_base_has_no_tile() -> None:
    with pytest.raises(ConfigError, match="IOManagedRPUConfig is only a base"):
        registry.tile_class(IOManagedRPUConfig())


def test_no_configuration() -> None:
    with pytest.raises(TypeError, match="must be an RPU configuration, got Ideal"):
        registry.tile_class(IdealDevice())


def test_a_kind_that_does_not_exist() -> None:
    class Odd(SingleRPUConfig):
        tile_kind = "odd"

    with pytest.raises(ConfigError, match=r"Odd.tile_kind must be one of .*, got 'odd"):
        registry.tile_class(Odd())


def test_core_classes() -> None:
    assert registry.core_class("analog", "cpu") is CpuTile
    assert registry.core_class("floating_point", "cpu") is CpuTile


@pytest.mark.parametrize(
    ("kind", "backend", "match"),
    [
        (
            "odd",
            "cpu",
            "kind must be one of 'analog', 'compound', 'floating_point', got 'odd'",
        ),
        ("analog", "tpu", "backend must be one of 'cpu', 'cuda', got 'tpu'"),
    ],
)
def test_unknown_core(kind: str, backend: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        registry.core_class(kind, backend)


def test_a_machine_without_a_driver_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = "the CUDA runtime says: CUDA driver version is insufficient"
    kernels = SimpleNamespace(why_unavailable=lambda: told)
    monkeypatch.setattr(cuda, "_load", lambda: (kernels, ""))
    assert cuda.why_unavailable() == f"{told}, or there is no driver"
    told = "there is no CUDA device"
    assert cuda.why_unavailable() == told
    told = ""
    assert cuda.is_available()


@pytest.mark.skipif(cuda.is_available(), reason="CUDA is available")
def test_without_cuda_the_reason_is_given() -> None:
    assert registry.available_backends() == ("cpu",)
    assert cuda.why_unavailable()
    with pytest.raises(BackendUnavailableError, match=cuda.why_unavailable()):
        registry.core_class("analog", "cuda")


def test_kernel_names() -> None:
    assert registry.kernel_name(ConstantStepDevice) == "constant_step"
    assert registry.kernel_name(ConstantStepDevice()) == "constant_step"
    with pytest.raises(ConfigError, match=r"PulsedDevice.kernel must be the name"):
        registry.kernel_name(PulsedDevice)


@registry.register_device
@define
class CoarseDevice(ConstantStepDevice):
    """A device of a user, for this module."""

    dw_min: float = 0.05


def test_a_registered_device_works_and_is_found() -> None:
    assert config_class("CoarseDevice") is CoarseDevice
    tile = AnalogTile(1, 1, SingleRPUConfig(device=CoarseDevice(dw_min_dtod=0.0)))
    steps = tile.get_hidden_parameters()["dwmin_up"]
    # up_down_dtod = 0.01 of 0.05 leaves the step within 10 standard deviations.
    assert steps == pytest.approx(0.05, abs=10 * 0.01 * 0.05)


def test_registering_nonsense() -> None:
    with pytest.raises(TypeError, match="must be a subclass of Device, got"):
        registry.register_device(SingleRPUConfig)

    class Plain(ConstantStepDevice):
        pass

    with pytest.raises(ConfigError, match=r"Plain must be decorated with"):
        registry.register_device(Plain)

    @define
    class Nameless(PulsedDevice):
        pass

    with pytest.raises(ConfigError, match=r"Nameless.kernel must be the name"):
        registry.register_device(Nameless)


def test_a_kernel_that_does_not_exist_is_found_out_by_the_core() -> None:
    @define
    class Ghost(ConstantStepDevice):
        kernel = "ghost"

    with pytest.raises(ConfigError, match=r"Ghost.kernel must name a device kernel"):
        AnalogTile(1, 1, SingleRPUConfig(device=registry.register_device(Ghost)()))


def test_registry_and_cuda_import_no_tile() -> None:
    program = (
        "import sys, rpupy.registry as r\n"
        "r.available_backends()\n"
        "assert 'rpupy.tiles' not in sys.modules\n"
        "assert 'rpupy.rpu_base.core' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
