"""Write digests.json: a digest of each training run in tests/test_same_bits/runs.py.

Run it only when random results are meant to change, and say so in CHANGELOG.md.
"""

import importlib.util
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Run every scenario and write what it gave."""
    path = HERE.parent / "test_same_bits" / "runs.py"
    spec = importlib.util.spec_from_file_location("same_bits_runs", path)
    runs = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = runs
    spec.loader.exec_module(runs)
    digests = {
        name: runs.total(runs.run(scenario))
        for name, scenario in runs.SCENARIOS.items()
    }
    runs.DIGESTS.write_text(json.dumps(digests, indent=1) + "\n")


if __name__ == "__main__":
    main()
