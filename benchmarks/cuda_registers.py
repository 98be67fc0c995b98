"""Registers, shared memory and spills of the CUDA kernels, as the compiler reports them.

    python benchmarks/cuda_registers.py [--arch 90] [--nvcc nvcc]

Compiles each file of cuda/ with the flags of setup.py for one architecture, which takes a minute
or two and needs no GPU, and prints a line for each kernel. The table of
docs/cuda.md has these numbers.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TREE = Path(__file__).parents[1]
ENTRY = re.compile(
    r"Compiling entry function '(\w+)'.*?"
    r"(\d+) bytes spill stores, (\d+) bytes spill loads.*?"
    r"Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


def flags_of_the_build() -> list[str]:
    """Read NVCC_FLAGS from setup.py, which cannot be imported without building."""
    for node in ast.parse((TREE / "setup.py").read_text()).body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "NVCC_FLAGS"
        ):
            return ast.literal_eval(node.value).split()
    raise SystemExit("setup.py has no NVCC_FLAGS")


def report(text: str) -> list[tuple[str, int, int, int]]:
    """Read what ptxas printed: name, registers, bytes shared, bytes spilled."""
    rows = []
    for name, stores, loads, registers, rest in ENTRY.findall(text):
        shared = re.search(r"(\d+) bytes smem", rest)
        spilled = int(stores) + int(loads)
        rows.append((name, int(registers), int(shared[1]) if shared else 0, spilled))
    return rows


def readable(names: list[str]) -> list[str]:
    """Turn the linker's names into those of the source."""
    if shutil.which("c++filt") is None:
        return names
    done = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    found = []
    for line in done.stdout.splitlines():
        short = line.removeprefix("void ").replace("rpupy::cuda::", "")
        found.append(re.sub(r"\(.*", "", short))
    return found


def main() -> None:
    """Compile and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="90", help="such as 90 for sm_90")
    parser.add_argument("--nvcc", default="nvcc")
    args = parser.parse_args()
    if shutil.which(args.nvcc) is None:
        sys.exit(f"nothing is compiled: {args.nvcc} is not here")
    flags = [*flags_of_the_build(), f"-arch=sm_{args.arch}", "-Xptxas", "-v"]

    def compiled(source: Path) -> str:
        with tempfile.TemporaryDirectory() as folder:
            command = [args.nvcc, *flags, "-c", source, "-o", Path(folder, "kernels.o")]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return done.stderr

    with ThreadPoolExecutor() as pool:
        rows = [
            row
            for text in pool.map(compiled, sorted(TREE.glob("cuda/*.cu")))
            for row in report(text)
        ]
    print("kernel | registers | shared, bytes | spilled, bytes")
    for name, row in sorted(zip(readable([r[0] for r in rows]), rows, strict=True)):
        print(name, *row[1:], sep=" | ")


if __name__ == "__main__":
    main()
