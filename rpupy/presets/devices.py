"""Devices with the numbers of measured or proposed ones.

Each class is a device model with other defaults; any field can still be set. Weights
are in normalised units, in which the range is about -1 to 1. The fields that are not
listed have the defaults of the model. ``docs/presets.md`` has all numbers in one table
and a picture of all responses.
"""

from __future__ import annotations

from rpupy.configs.devices import (
    ConstantStepDevice,
    ExpStepDevice,
    LinearStepDevice,
    SoftBoundsReferenceDevice,
)
from rpupy.parameters.base import define

__all__ = [
    "CapacitorPresetDevice",
    "EcRamMOPresetDevice",
    "EcRamPresetDevice",
    "GokmenVlasovPresetDevice",
    "IdealizedPresetDevice",
    "PCMPresetDevice",
    "ReRamArrayHfO2PresetDevice",
    "ReRamArrayOMPresetDevice",
    "ReRamESPresetDevice",
    "ReRamSBPresetDevice",
]


@define
class ReRamESPresetDevice(ExpStepDevice):
    """Resistive memory (ReRAM), as an exponential step.

    A step is far smaller than the noise of one pulse (`dw_min_std` is 5) and than the
    error with which a weight is seen (`write_noise_std` is 75 steps). Steps down are
    26 % smaller than steps up. The fields are those of ExpStepDevice.

    References
    ----------
    Gong et al., Nat. Commun. 9:2102 (2018), doi:10.1038/s41467-018-04485-1, whose
    measured pulse responses were fitted.
    """

    dw_min: float = 0.00135
    dw_min_dtod: float = 0.2
    dw_min_std: float = 5.0
    up_down: float = 0.259359
    up_down_dtod: float = 0.05
    w_max: float = 1.0
    w_min: float = -1.0
    A_up: float = -1.18445
    A_down: float = -0.081404
    gamma_up: float = 5.0
    gamma_down: float = 5.0
    a: float = -0.5
    b: float = -0.5
    write_noise_std: float = 75.0


@define
class ReRamSBPresetDevice(SoftBoundsReferenceDevice):
    """Resistive memory (ReRAM), as soft bounds.

    A looser fit to the data of ReRamESPresetDevice, for a device that has already been
    calibrated so that its symmetry point is at weight 0. The fields are those of
    SoftBoundsReferenceDevice.

    References
    ----------
    Gong et al., Nat. Commun. 9:2102 (2018), doi:10.1038/s41467-018-04485-1.
    """

    dw_min: float = 0.002
    dw_min_std: float = 3.75
    w_max: float = 1.25
    # Both bounds spread by 0.3 in weight units.
    w_max_dtod: float = 0.3 / 1.25
    w_min: float = -0.75
    w_min_dtod: float = 0.3 / 0.75
    write_noise_std: float = 56.0


@define
class ReRamArrayOMPresetDevice(SoftBoundsReferenceDevice):
    """Resistive memory (ReRAM) of an optimised material, from an array of 14 nm CMOS.

    Only about 20 steps lead through the range, and devices differ much. The symmetry
    point has been subtracted, up to a spread of 0.05. In the array, 13.48 % of the
    devices were stuck (`corrupt_devices_prob` is 0 here), and the mean bounds were
    1.4839 and -0.6192, which are scaled to 1 and -1 here. The fields are those of
    SoftBoundsReferenceDevice.

    References
    ----------
    Gong, Rasch et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019569.
    """

    corrupt_devices_range: float = 0.01
    dw_min: float = 0.0949
    dw_min_dtod: float = 0.7829
    dw_min_dtod_log_normal: bool = True
    dw_min_std: float = 0.4158
    w_max: float = 1.0
    w_max_dtod: float = 0.3499
    w_min: float = -1.0
    w_min_dtod: float = 0.5695
    write_noise_std: float = 1.4113
    reference_std: float = 0.05
    subtract_symmetry_point: bool = True


@define
class ReRamArrayHfO2PresetDevice(SoftBoundsReferenceDevice):
    """Resistive memory (ReRAM) of hafnium oxide, from an array of 14 nm CMOS.

    The baseline to ReRamArrayOMPresetDevice: about 4 steps lead through the range. In
    the array, 9.77 % of the devices were stuck (`corrupt_devices_prob` is 0 here), and
    the mean bounds were 1.1490 and -1.0284, which are scaled to 1 and -1 here. The
    fields are those of SoftBoundsReferenceDevice.

    References
    ----------
    Gong, Rasch et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019569.
    """

    corrupt_devices_range: float = 0.01
    dw_min: float = 0.4622
    dw_min_dtod: float = 0.7125
    dw_min_dtod_log_normal: bool = True
    dw_min_std: float = 0.2174
    w_max: float = 1.0
    w_max_dtod: float = 0.4295
    w_min: float = -1.0
    w_min_dtod: float = 0.599
    write_noise_std: float = 0.5841
    reference_std: float = 0.05
    subtract_symmetry_point: bool = True


@define
class CapacitorPresetDevice(LinearStepDevice):
    """Capacitor with CMOS transistors that charge and discharge it.

    Steps are nearly linear and symmetric, and the charge leaks: `lifetime` counts
    mini-batches, so it has to be set to what a mini-batch lasts. The fields are those
    of LinearStepDevice.

    References
    ----------
    Li et al., IEEE Symposium on VLSI Technology (2018),
    doi:10.1109/VLSIT.2018.8510648.
    """

    dw_min: float = 0.005
    dw_min_dtod: float = 0.1
    lifetime: float = 1e6
    lifetime_dtod: float = 0.3
    up_down_dtod: float = 0.06
    w_max: float = 1.0
    w_max_dtod: float = 0.07
    w_min: float = -1.0
    w_min_dtod: float = 0.07
    gamma_up: float = 0.05
    gamma_down: float = 0.05
    gamma_up_dtod: float = 0.01
    gamma_down_dtod: float = 0.01
    mult_noise: bool = False


@define
class EcRamPresetDevice(LinearStepDevice):
    """Electrochemical memory (ECRAM) with lithium ions.

    The range is shifted so that the symmetry point lies near weight 0. The fields are
    those of LinearStepDevice.

    References
    ----------
    Tang et al., IEDM (2018), doi:10.1109/IEDM.2018.8614551.
    """

    dw_min: float = 0.002
    dw_min_dtod: float = 0.1
    w_max: float = 1.1724
    w_max_dtod: float = 0.05
    w_min: float = -0.8276
    w_min_dtod: float = 0.05
    gamma_up: float = 0.1153
    gamma_down: float = 0.5085


@define
class EcRamMOPresetDevice(LinearStepDevice):
    """Electrochemical memory (ECRAM) of metal oxides.

    About 7000 steps lead through the range, each with a noise of twice its size. The
    fields are those of LinearStepDevice.

    References
    ----------
    Kim et al., IEDM (2019), doi:10.1109/IEDM19573.2019.8993463.
    """

    dw_min: float = 0.00028214
    dw_min_dtod: float = 0.1
    dw_min_std: float = 2.0
    w_max: float = 1.1714
    w_max_dtod: float = 0.05
    w_min: float = -0.8286
    w_min_dtod: float = 0.05
    gamma_up: float = 0.4152
    gamma_down: float = 0.7342


@define
class IdealizedPresetDevice(ConstantStepDevice):
    """An idealised device: 10000 states, the same steps up and down.

    Steps and bounds still differ from device to device and from pulse to pulse. The
    fields are those of ConstantStepDevice.

    References
    ----------
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333;
    Rasch, Gokmen and Haensch, IEEE Design & Test 37:19 (2020), arXiv:1906.02698.
    """

    dw_min: float = 0.0002
    up_down_dtod: float = 0.0
    w_max: float = 1.0
    w_min: float = -1.0


@define
class GokmenVlasovPresetDevice(ConstantStepDevice):
    """The device that stochastic pulse trains were proposed for: about 1200 states.

    The model of the paper, with its range scaled to -1 to 1. The fields are those of
    ConstantStepDevice.

    References
    ----------
    Gokmen and Vlasov, Front. Neurosci. 10:333 (2016), doi:10.3389/fnins.2016.00333.
    """

    dw_min: float = 0.0016
    w_max: float = 1.0
    w_min: float = -1.0


@define
class PCMPresetDevice(ExpStepDevice):
    """Phase-change memory (PCM), as an exponential step in one direction.

    Pulses up crystallise gradually; down there is only the reset. So a weight needs two
    of these devices, one for each sign, and a refresh. The fields are those of
    ExpStepDevice.

    References
    ----------
    Nandakumar et al., Front. Neurosci. 14:406 (2020), doi:10.3389/fnins.2020.00406.
    """

    dw_min: float = 0.01
    dw_min_dtod: float = 0.2
    dw_min_std: float = 0.6
    reset: float = 0.01
    reset_dtod: float = 0.02
    up_down_dtod: float = 0.05
    w_max: float = 2.0
    w_max_dtod: float = 0.1
    w_min: float = 0.0
    w_min_dtod: float = 0.0
    A_up: float = -27.235
    A_down: float = -2.235
    gamma_up: float = 2.5
    gamma_down: float = 2.5
    a: float = -1.0
    b: float = 0.0
    dw_min_std_add: float = 0.042
    dw_min_std_slope: float = 0.108
