"""Builds the extensions; everything else about the package stands in pyproject.toml.

csrc/ is compiled once per instruction set into objects that are linked into one extension (kernels.launch); the other
extensions reach the kernels through the table it hands out.

Environment: QUERNEL_DEBUG=1 builds with AddressSanitizer, UndefinedBehaviorSanitizer and Cython's bounds checks.
QUERNEL_BUILD_ISAS="generic avx512" builds only these (for small containers and quick rebuilds).
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ISA_FLAGS = {
    "x86_64": {
        "generic": [],
        "avx2": ["-mavx2", "-mfma", "-mbmi2"],
        "avx512": [
            *("-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl"),
            *("-mavx2", "-mfma", "-mbmi2", "-mprefer-vector-width=512"),
        ],
    },
    "aarch64": {"generic": [], "neon": []},
}
DEBUG = os.environ.get("QUERNEL_DEBUG", "0") not in ("", "0")
# AddressSanitizer sees what the checks left out would see; they make compiling the unrolled kernels five times as long.
SANITIZE = [
    *("-fsanitize=address,undefined", "-fno-sanitize=alignment,null,object-size,pointer-overflow"),
    *("-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"),
]
# GCC compiles the AVX-512 kernels in 27 s so, 37 s with the checks of addresses inlined, 58 s without the rest of the
# line also, and 75 s with -g (which adds the values of variables to the lines of the source).
SANITIZED = [
    *("-O1", "-g1", "-fira-region=one", "--param=asan-instrumentation-with-call-threshold=0"),
    *SANITIZE,
]
C_FLAGS = [
    "-std=gnu11",
    "-fPIC",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-psabi",
    "-fvisibility=hidden",
]
C_FLAGS += ["-fopenmp-simd", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
C_FLAGS += SANITIZED if DEBUG else ["-O3", "-g0"]
# Debug information is what makes wheels large; -O2 because the Cython layer only dispatches.
CYTHON_FLAGS = SANITIZED if DEBUG else ["-O2", "-g0"]
LINK_FLAGS = ["-pthread", *(SANITIZE if DEBUG else ["-Wl,-s"] if sys.platform == "linux" else [])]
KERNELS = Path("src/quernel/kernels")


def machine_isas() -> dict[str, list[str]]:
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    flags = ISA_FLAGS.get(name, {"generic": []})
    wanted = os.environ.get("QUERNEL_BUILD_ISAS", "").split() or list(flags)
    if unknown := sorted(set(wanted) - set(flags)):
        raise SystemExit(f"QUERNEL_BUILD_ISAS names {unknown}; this machine ({name}) has {list(flags)}")
    return {isa: flags[isa] for isa in flags if isa in wanted or isa == "generic"}


class BuildKernels(build_ext):
    """build_ext that first checks the tools, then compiles csrc/ once per instruction set."""

    def build_extensions(self) -> None:
        self.check_tools()
        isas = machine_isas()
        self.rebuild_if_flags_changed(repr((isas, C_FLAGS, CYTHON_FLAGS, LINK_FLAGS)))
        headers = sorted(map(str, Path("csrc").glob("*.h")))
        # The longest first, and the other extensions while they run: no core waits for the last.
        units = [*(f"isa_{isa}" for isa in reversed(isas)), "select", "process", "threads"]
        linked = next(ext for ext in self.extensions if ext.name == "quernel.kernels.launch")
        for extension in self.extensions:
            extension.depends += headers
        with ThreadPoolExecutor(self.parallel or os.cpu_count()) as pool:
            objects = pool.map(lambda name: self.compile_unit(name, isas, headers), units)
            others = pool.map(self.build_extension, [ext for ext in self.extensions if ext is not linked])
            linked.extra_objects = list(objects)
            linked.depends += linked.extra_objects
            list(others)  # raises what they raised
        self.build_extension(linked)

    def compile_unit(self, name: str, isas: dict[str, list[str]], headers: list[str]) -> str:
        """csrc/name.c to an object file, unless that is newer than all it is made of."""
        source = f"csrc/{name}.c"
        target = Path(self.build_temp) / "csrc" / f"{name}.o"
        newest = max(os.path.getmtime(f) for f in [source, "setup.py", *headers])
        if self.force or not target.exists() or target.stat().st_mtime < newest:
            self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                include_dirs=["csrc"],
                macros=[(f"HAVE_{isa}", "1") for isa in isas],
                extra_postargs=C_FLAGS + isas.get(name.removeprefix("isa_"), []),
            )
        return str(target)

    def rebuild_if_flags_changed(self, flags: str) -> None:
        """What was compiled with other flags (a debug build, other instruction sets) is not up to date."""
        stamp = Path(self.build_temp) / "flags.txt"
        if not stamp.exists() or stamp.read_text() != flags:
            self.force = True
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(flags)

    def check_tools(self) -> None:
        """Say what to install before a page of compiler output does not."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text("#include <Python.h>\n#include <pthread.h>\nint main(void) { return 0; }\n")
            compiler = self.compiler.compiler[0]
            includes = [f"-I{path}" for path in self.compiler.include_dirs]
            try:
                run = subprocess.run(
                    [compiler, *includes, "-c", str(source), "-o", f"{folder}/probe.o"],
                    capture_output=True,
                    text=True,
                )
            except FileNotFoundError:
                raise SystemExit(
                    f"quernel: no C compiler: {compiler!r} was not found. Install GCC or Clang (Debian and Ubuntu: "
                    "apt install gcc python3-dev; Fedora: dnf install gcc python3-devel; macOS: xcode-select "
                    "--install)."
                ) from None
            if run.returncode == 0:
                return
            if "Python.h" in run.stderr:
                raise SystemExit(
                    "quernel: the compiler finds no Python.h. Install the Python headers (Debian and Ubuntu: "
                    "apt install python3-dev; Fedora: dnf install python3-devel)."
                )
            raise SystemExit(
                f"quernel: {compiler} cannot compile one line of C. Install GCC or Clang with the headers of the "
                f"C library (Debian and Ubuntu: apt install gcc libc6-dev).\n{run.stderr}"
            )


def extensions() -> list[Extension]:
    import numpy

    return [
        Extension(
            f"quernel.kernels.{source.stem}",
            [str(source)],
            include_dirs=["csrc", numpy.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            extra_compile_args=["-Wno-unused-function", *CYTHON_FLAGS],
            extra_link_args=LINK_FLAGS,
            depends=[str(p) for p in KERNELS.glob("*.pxd")],
        )
        for source in sorted(KERNELS.glob("*.pyx"))
    ]


def cythonized() -> list[Extension]:
    from Cython.Build import cythonize

    return cythonize(
        extensions(),
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "cdivision": True,
            "initializedcheck": False,
            "binding": True,
            "embedsignature": False,
        },
    )


if __name__ == "__main__":  # tests/native/neon.py reads the flags
    setup(ext_modules=cythonized(), cmdclass={"build_ext": BuildKernels})
