"""Write presets_slice.json: the presets that rpupy has, with all their numbers.

Usage: python make_presets_slice.py path/to/presets.json
"""

import json
import sys
from pathlib import Path

#: Groups of the table that rpupy has whole; of the others, these.
GROUPS = ("devices", "compounds", "configs")
SETTINGS = ("PresetIOParameters", "PresetUpdateParameters", "StandardIOParameters")
KEPT = ("parent", "overrides", "all_values", "sources", "nominal_states")


def main(source: Path) -> None:
    """Pick the presets of this slice, and the sources that they cite."""
    table = json.loads(source.read_text())
    presets = {
        name: {key: entry[key] for key in KEPT if key in entry}
        for name, entry in sorted(table["presets"].items())
        if entry["group"] in GROUPS or name in SETTINGS
    }
    cited = sorted({key for entry in presets.values() for key in entry["sources"]})
    sources = {key: table["sources"][key] for key in cited}
    target = Path(__file__).with_name("presets_slice.json")
    # A line for each preset: the table is long.
    lines = [
        f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in presets.items()
    ]
    text = '{"presets": {\n' + ",\n".join(lines) + "\n},\n"
    text += f'"sources": {json.dumps(sources, indent=1)}' + "}\n"
    target.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
