"""The house rules that a reader relies on, checked: who imports whom, file length, banned calls."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("raftstore", "master", "node", "proxy", "cli", "chaos")
PUBLIC = {"raftstore", "master", "node", "proxy", "cli", "chaos"}

# Room → what it may import of ours, from the design's table; the longest matching room decides.
MAY_IMPORT: dict[str, set[str]] = {
    "raftstore": set(),
    "master.api": set(),
    "master.client": {"master.api"},
    "master.apiserver": {"raftstore.client", "raftstore.protocol", "raftstore.errors", "master.api"},
    "master.scheduler": {"master.api", "master.client"},
    "master.controllers": {"master.api", "master.client"},
    "node": {"master.api", "master.client"},
    "proxy": {"master.api", "master.client"},
    "cli": PUBLIC,
    "chaos": PUBLIC,
}
LINES_MAX = 500
DATA_TABLES: set[str] = set()


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str | None:
    return max((room for room in MAY_IMPORT if is_within(module, room)), key=len, default=None)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name lives"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_follow_the_design(path: Path) -> None:
    room = room_of(module_name(path))
    if room is None:
        return  # master/__init__.py: a name only
    for imported in imported_modules(path):
        if imported.split(".")[0] not in ROOMS or is_within(imported, room):
            continue
        allowed = any(is_within(imported, package) for package in MAY_IMPORT[room])
        assert allowed, f"{module_name(path)} imports {imported}, but {room} may not"


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_files_stay_readable(path: Path) -> None:
    if module_name(path) not in DATA_TABLES:
        lines = len(path.read_text().splitlines())
        assert lines <= LINES_MAX, f"{path} has {lines} lines: where does one concept end and the next begin?"


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_no_dangerous_calls(path: Path) -> None:
    """Nothing unpickles, evaluates, loads YAML unsafely, runs a shell, or swallows every exception."""
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{where}: bare except"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not {"pickle", "marshal", "shelve"} & set(names), f"{where}: unsafe serialisation"
        if isinstance(node, ast.Call):
            assert _called(node) not in {"eval", "exec", "yaml.load", "os.system"}, f"{where}: {_called(node)}"
            shell = any(k.arg == "shell" and getattr(k.value, "value", False) is True for k in node.keywords)
            assert not shell, f"{where}: shell=True"


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent, f"modules without a docstring: {silent}"


def test_top_level_holds_only_what_the_design_names() -> None:
    allowed = {"pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "tests", *ROOMS}
    found = {p.name for p in ROOT.iterdir() if not p.name.startswith(".") and not p.name.endswith(".egg-info")}
    assert found <= allowed, f"not in the design: {sorted(found - allowed)}"
