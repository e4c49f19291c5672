"""Nothing in the runtime dependency closure contains Rust: proven on a clean install, file by file."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What every binary built by rustc carries: the compiler's source paths or its panic machinery.
MARKS = (b"/rustc/", b"rust_panic", b"rust_begin_unwind", b"library/core/src/", b"library/std/src/")
INSTALL_TIMEOUT_S = 600


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the runtime dependencies alone, as a user installs them."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_TIMEOUT_S)
    install = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True, timeout=INSTALL_TIMEOUT_S)
    constraints = ["-c", str(ROOT / ".ci/constraints.txt")]
    done = subprocess.run([*install, *constraints, str(source)], capture_output=True, timeout=INSTALL_TIMEOUT_S)
    assert done.returncode == 0, done.stderr.decode()
    return next(folder.glob("lib/python3*/site-packages"))


def test_no_installed_binary_was_built_by_rust(site_packages: Path) -> None:
    binaries = [path for path in site_packages.rglob("*.so*") if path.is_file()]
    assert binaries, "a closure without any compiled module would mean that the install failed"
    rusty = [str(path) for path in binaries if any(mark in path.read_bytes() for mark in MARKS)]
    assert not rusty


def test_no_installed_package_ships_or_was_built_from_cargo(site_packages: Path) -> None:
    guilty = [str(path) for name in ("Cargo.toml", "Cargo.lock", "*.rs") for path in site_packages.rglob(name)]
    wheels = site_packages.glob("*.dist-info/WHEEL")
    guilty += [str(path) for path in wheels if "maturin" in path.read_text() or "setuptools-rust" in path.read_text()]
    assert not guilty


def test_known_rust_packages_are_absent(site_packages: Path) -> None:
    banned = {"pydantic_core", "cryptography", "orjson", "watchfiles", "rpds_py", "granian", "tokenizers", "bcrypt"}
    installed = {path.name.split("-")[0].lower() for path in site_packages.glob("*.dist-info")}
    assert not installed & banned
    assert "timonier" in installed
