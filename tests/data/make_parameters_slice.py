"""Write parameters_slice.json: fields, types and defaults that rpupy must have.

Usage: python make_parameters_slice.py path/to/parameters.json
The enums are read from enums.json in the same folder.
"""

import json
import sys
from pathlib import Path

CLASSES = [
    "ConstantStepDevice",
    "DriftParameter",
    "ExpStepDevice",
    "FloatingPointDevice",
    "FloatingPointRPUConfig",
    "IOManagedRPUConfig",
    "IOParameters",
    "IdealDevice",
    "InputRangeParameter",
    "LinearStepDevice",
    "MappableRPU",
    "MappingParameter",
    "PiecewiseStepDevice",
    "PowStepDevice",
    "PowStepReferenceDevice",
    "PrePostProcessingParameter",
    "PrePostProcessingRPU",
    "PulsedDevice",
    "RPUConfigBase",
    "RuntimeParameter",
    "SimpleDriftParameter",
    "SingleRPUConfig",
    "SoftBoundsDevice",
    "SoftBoundsPmaxDevice",
    "SoftBoundsReferenceDevice",
    "UpdateParameters",
]
KEPT = ("type", "default", "compare", "always_show", "hide_if")


def main(source: Path) -> None:
    """Pick the classes of this slice and the enums of parameters.enums."""
    classes = json.loads(source.read_text())["classes"]
    enums = json.loads(source.with_name("enums.json").read_text())["enums"]
    golden = {
        "classes": {
            name: {
                field["name"]: {key: field[key] for key in KEPT if key in field}
                for field in classes[name]["fields"]
            }
            for name in CLASSES
        },
        "enums": {
            name: entry["members"]
            for name, entry in enums.items()
            if entry["module_group"] == "parameters.enums"
        },
    }
    target = Path(__file__).with_name("parameters_slice.json")
    target.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
