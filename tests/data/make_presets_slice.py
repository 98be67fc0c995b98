"""Write presets_slice.json: the presets that rpupy has, with all their numbers.

Usage: python make_presets_slice.py path/to/presets.json
"""

import json
import sys
from pathlib import Path

PRESETS = [
    "CapacitorPreset",
    "CapacitorPresetDevice",
    "EcRamMOPreset",
    "EcRamMOPresetDevice",
    "EcRamPreset",
    "EcRamPresetDevice",
    "GokmenVlasovPreset",
    "GokmenVlasovPresetDevice",
    "IdealizedPreset",
    "IdealizedPresetDevice",
    "PCMPresetDevice",
    "PresetIOParameters",
    "PresetUpdateParameters",
    "ReRamArrayHfO2PresetDevice",
    "ReRamArrayOMPresetDevice",
    "ReRamESPreset",
    "ReRamESPresetDevice",
    "ReRamSBPreset",
    "ReRamSBPresetDevice",
    "StandardIOParameters",
]
KEPT = ("parent", "overrides", "all_values", "sources", "nominal_states")


def main(source: Path) -> None:
    """Pick the presets of this slice, and the sources that they cite."""
    table = json.loads(source.read_text())
    presets = {
        name: {key: table["presets"][name][key] for key in KEPT if key in entry}
        for name in PRESETS
        for entry in (table["presets"][name],)
    }
    cited = {key for entry in presets.values() for key in entry["sources"]}
    golden = {
        "presets": presets,
        "sources": {key: table["sources"][key] for key in sorted(cited)},
    }
    target = Path(__file__).with_name("presets_slice.json")
    target.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
