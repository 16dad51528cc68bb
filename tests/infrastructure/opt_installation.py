"""What the guides put on a machine: /opt/data_analysis with an environment that has this tree's packages.

The packages are copies, as pip would install them; Python and the libraries are those of the tests, which the
machine has to bind at the paths PYTHON and LIBRARIES.
"""

import importlib
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

HOME = "/opt/data_analysis"
PYTHON, LIBRARIES = "/opt/python", "/opt/libraries"
PACKAGES = ("analysis_module", "analysis_worker", "d_a")
_ENVIRONMENTS = (".venv", "venv")
"""The worker's guide and the deployment guide call it differently."""


def binds() -> Mapping[str, Path]:
    """What the machine has to bind: path inside -> path on this machine."""
    return {PYTHON: Path(sys.base_prefix), LIBRARIES: Path(sysconfig.get_path("purelib"))}


def lay_out(root: Path) -> None:
    """Writes /opt/data_analysis below `root`."""
    home = root / HOME.lstrip("/")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for name in _ENVIRONMENTS:
        environment = home / name
        packages = environment / "lib" / version / "site-packages"
        packages.mkdir(parents=True)
        for package in PACKAGES:
            _copy(package, packages)
        (packages / "libraries.pth").write_text(f"{LIBRARIES}\n", encoding="ascii")
        (environment / "pyvenv.cfg").write_text(f"home = {PYTHON}/bin\n", encoding="ascii")
        programs = environment / "bin"
        programs.mkdir()
        (programs / "python").symlink_to(f"{PYTHON}/bin/{version}")
        worker = programs / "analysis-worker"
        worker.write_text(
            f"#!{HOME}/{name}/bin/python\n"
            "import sys\n\nfrom analysis_worker.__main__ import main\n\nsys.exit(main())\n",
            encoding="ascii",
        )
        worker.chmod(0o755)


def _copy(package: str, packages: Path) -> None:
    found = importlib.import_module(package).__file__
    assert found is not None
    shutil.copytree(
        Path(found).parent,
        packages / package,
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )
