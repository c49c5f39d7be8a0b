"""The NEON kernels against those of this x86 machine, on one set of inputs.

Needs gcc, aarch64-linux-gnu-gcc and qemu-aarch64 (Debian: gcc-aarch64-linux-gnu, qemu-user). Both programs are the
same text (check.c); the one of this machine writes its results, which the Python tests hold to the reference, and the
other compares. Compiler flags come from setup.py.

    python tests/native/neon.py
"""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
SYSTEM = Path("/usr/aarch64-linux-gnu")  # the libraries of Debian's cross compiler


def programs(folder: Path) -> tuple[Path, Path]:
    """Compile and link both; every file at once."""
    settings = runpy.run_path(str(ROOT / "setup.py"))
    # What makes the inputs must not be contracted: they are the same bits on both machines.
    cases = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Wno-psabi", "-ffp-contract=off", "-Werror"]
    compilers = {"gcc": ("x86_64", ["generic"]), "aarch64-linux-gnu-gcc": ("aarch64", ["neon", "generic"])}
    jobs = [
        (compiler, ROOT / "tests" / "native" / f"{name}.c", cases)
        for compiler in compilers
        for name in ("check", "cases")
    ]
    for compiler, (machine, isas) in compilers.items():
        for name in [*(f"isa_{isa}" for isa in isas), "select", "process"]:
            own = settings["ISA_FLAGS"][machine].get(name.removeprefix("isa_"), [])
            # Only NEON is under test: the others are built in less time, and show their warnings in a build of theirs.
            last = ["-Werror"] if name == "isa_neon" else ["-O1", "-w"]
            flags = [*settings["C_FLAGS"], *own, *(f"-DHAVE_{isa}" for isa in isas), *last]
            jobs.append((compiler, ROOT / "csrc" / f"{name}.c", flags))

    def compiled(job: tuple[str, Path, list[str]]) -> tuple[str, Path]:
        compiler, source, flags = job
        target = folder / f"{compiler}-{source.stem}.o"
        run = [compiler, *flags, f"-I{ROOT / 'csrc'}", "-c", str(source), "-o", str(target)]
        subprocess.run(run, check=True)
        return compiler, target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, jobs))
    for compiler in ("gcc", "aarch64-linux-gnu-gcc"):
        own = [str(target) for made_by, target in objects if made_by == compiler]
        subprocess.run([compiler, *own, "-lm", "-lpthread", "-o", str(folder / compiler)], check=True)
    return folder / "gcc", folder / "aarch64-linux-gnu-gcc"


def main() -> int:
    missing = [tool for tool in ("gcc", "aarch64-linux-gnu-gcc", "qemu-aarch64") if not shutil.which(tool)]
    if missing:
        print(f"NEON was not checked: {', '.join(missing)} not found.")
        return 2
    with tempfile.TemporaryDirectory() as name:
        here, there = programs(Path(name))
        with subprocess.Popen([here, "write"], stdout=subprocess.PIPE) as writer:
            qemu = ["qemu-aarch64", "-L", str(SYSTEM), str(there), "compare", "neon"]
            compared = subprocess.run(qemu, stdin=writer.stdout)
        return compared.returncode or writer.returncode


if __name__ == "__main__":
    sys.exit(main())
