"""What rpupy says about itself."""

import io

import numpy as np
import pytest

import rpupy
from rpupy.about import config_info, show_config


def test_info() -> None:
    info = config_info()
    assert info["rpupy"] == rpupy.__version__
    assert info["numpy"] == np.__version__
    assert info["isa"] in info["available_isas"]
    assert info["num_threads"] == rpupy.get_num_threads()
    assert info["cuda_available"] == (info["cuda_reason"] == "")
    assert isinstance(info["openmp"], bool)
    assert info["openmp_max_threads"] >= 1


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    show_config()
    shown = capsys.readouterr().out
    info = config_info()
    for key in ("rpupy", "python", "numpy", "attrs", "compiler", "isa", "cuda_reason"):
        assert str(info[key]) in shown
    stream = io.StringIO()
    show_config(file=stream)
    assert stream.getvalue() == shown
    assert capsys.readouterr().out == ""
