"""Type checkers see what a script of a user may write, and find its mistakes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rpupy

pytest.importorskip("mypy", reason="needs mypy, of the extra 'lint'")

#: Lines that end in a comment ``# error: CODE`` are mistakes.
SCRIPT = """
import numpy as np
import rpupy
from rpupy.configs import SingleRPUConfig, UnitCellRPUConfig
from rpupy.configs.devices import LinearStepDevice, SoftBoundsDevice, TransferCompound
from rpupy.configs.utils import IOParameters, PulseType, UpdateParameters
from rpupy.presets import TikiTakaEcRamPreset
from rpupy.tiles import AnalogTile, load

config = SingleRPUConfig(
    forward=IOParameters(out_noise=0.1),
    update=UpdateParameters(pulse_type=PulseType.STOCHASTIC),
    device=LinearStepDevice(w_min=-0.4, w_max=0.6),
)
config.forward.out_noise = 0.2
config.device = SoftBoundsDevice()
cell = TransferCompound(unit_cell_devices=[SoftBoundsDevice(), SoftBoundsDevice()])
tile = AnalogTile(10, 20, UnitCellRPUConfig(device=cell), rng=0)
y = tile.forward(np.ones((5, 20)))
tile.update(np.ones((5, 20)), y + y.mean())
weights, bias = tile.get_weights()
tile.set_weights(weights, bias)
tile.eval().copy().save("tile.npz")
load("tile.npz").forward([1.0] * 20)
AnalogTile(3, 2, rpu_config=TikiTakaEcRamPreset()).explain()
rpupy.set_num_threads(2)

from rpupy.tiles import Nonsense  # error: attr-defined
from rpupy.configs.devices import Nothing  # error: attr-defined
LinearStepDevice(w_mni=1.0)  # error: call-arg
config.forward.out_nosie = 1.0  # error: attr-defined
config.forward.out_noise = "a lot"  # error: assignment
TransferCompound(transfer_columns=PulseType.NONE)  # error: arg-type
AnalogTile(3, 2, config, rgn=3)  # error: call-arg
weights.nonsense  # error: attr-defined
"""


@pytest.mark.slow
def test_a_script_is_checked_strictly(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    variables = dict(os.environ)
    root = Path(rpupy.__file__).parents[1]
    if root.name != "site-packages":
        variables["MYPYPATH"] = str(root)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            str(path),
        ],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"script\.py:(\d+): error: .*\[([\w-]+)\]", done.stdout)
    wanted = [
        (str(number), line.partition("# error: ")[2])
        for number, line in enumerate(SCRIPT.splitlines(), start=1)
        if "# error: " in line
    ]
    assert found == wanted, done.stdout + done.stderr
