"""The wheel alone, in an environment and a folder without the clone: what someone has who only installed it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

# What extras bring, which `pip install cvqa_models` alone does not: neither found nor known as installed.
EXTRAS = (
    "tokenizers",
    "transformers",
    "peft",
    "piq",
    "sklearn",
    "scikit-learn",
    "skops",
    "optuna",
    "openpyxl",
    "skimage",
    "fastapi",
    "uvicorn",
    "python_multipart",
)
WITHOUT_EXTRAS = f"""from importlib import metadata
from importlib.machinery import PathFinder

def find_spec(name, path=None, target=None, known=PathFinder.find_spec):
    return None if name.partition(".")[0] in {EXTRAS} else known(name, path, target)

def from_name(name, known=metadata.Distribution.from_name):
    if name in {EXTRAS}:
        raise metadata.PackageNotFoundError(name)
    return known(name)

PathFinder.find_spec = find_spec
metadata.Distribution.from_name = from_name
"""

ROOT = Path(__file__).resolve().parents[2]
SECOND = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10:duration=1", "-pix_fmt", "yuv420p"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a wheel and a source archive."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that holds the wheel, and what it depends on, but no clone."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    # A plain line adds the folder of the dependencies, but not the clone that a `.pth` file in it names.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    return folder / "bin" / "python"


def run(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CVQA_WEIGHTS")}
    env["HOME"] = str(folder)
    command = [str(python), "-m", "cvqa_models", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_the_package_is_the_wheels(python: Path, tmp_path: Path) -> None:
    code = "import cvqa_models; print(cvqa_models.__file__)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    shown = subprocess.run([python, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert python.parents[1] in Path(shown.stdout.strip()).parents


def test_a_file_is_scored_with_the_shipped_weights(python: Path, tmp_path: Path) -> None:
    import imageio_ffmpeg

    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *SECOND, tmp_path / "a.mp4"], check=True)
    done = run(python, tmp_path, "score", "a.mp4")
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.splitlines()
    assert header.split(",")[:2] == ["video", "compression_level"]
    assert 0 <= float(row.split(",")[1]) <= 100


def test_every_system_is_listed(python: Path, tmp_path: Path) -> None:
    done = run(python, tmp_path, "systems", "--json", "systems.json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "systems.json").read_text())}
    assert set(rows) == {path.stem for path in (ROOT / "configs" / "model").glob("*.yaml")}
    assert rows["flagship"]["fault"] is None
    needed = {name: row["fault"].split("pip install ")[1] for name, row in rows.items() if row["fault"]}
    assert needed["tvqa"] == needed["iqa_llava"] == "'cvqa_models[lmm]'`."


def test_the_service_says_what_it_needs(python: Path, tmp_path: Path) -> None:
    done = run(python, tmp_path, "serve")
    assert done.returncode == 2
    assert done.stderr == "cvqa: The service needs the package fastapi; `pip install 'cvqa_models[serve]'`.\n"
    assert not list(tmp_path.iterdir())


def test_training_is_a_command(python: Path, tmp_path: Path) -> None:
    done = run(python, tmp_path, "fit", "--config", "absent.yaml")
    assert done.returncode == 2
    assert "absent.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_source_archive_builds_what_the_clone_builds(built: Path, tmp_path: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(tmp_path.iterdir())
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    again, first = (zipfile.ZipFile(next(folder.glob("*.whl"))).namelist() for folder in (tmp_path / "again", built))
    assert again == first
    assert {"cvqa_models/serve/score_page.html", "cvqa_models/serve/vote_page.html"} <= set(first)
