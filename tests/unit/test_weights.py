from __future__ import annotations

import errno
import hashlib
import os
import pickle
import subprocess
import sys
import zipfile
from http.client import IncompleteRead
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cvqa_models.published import OTHERS, PUBLISHED, S_LAB, Published, licence_of
from cvqa_models.weights import files, sources
from cvqa_models.weights.exact import digest, load_exact
from cvqa_models.weights.files import SHIPPED, fetch, resolve
from cvqa_models.weights.reading import read
from cvqa_models.weights.sources import Sources, WeightSource, parts_from_checkpoint

README = Path(__file__).resolve().parents[2] / "checkpoints" / "README.md"


class Runs:
    """Would create a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, (str(self.path), "w"))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `checkpoints/`."""
    monkeypatch.setattr(files, "FOLDER", tmp_path / "checkpoints")
    monkeypatch.delenv("CVQA_WEIGHTS", raising=False)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


# Files


def test_resolve_looks_at_the_path_then_the_variable_then_checkpoints(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "slowfast_r50_k400"
    (folder / PUBLISHED[name].file).touch()
    assert resolve(name) == folder / PUBLISHED[name].file
    assert resolve(PUBLISHED[name].file) == folder / PUBLISHED[name].file
    monkeypatch.setenv("CVQA_WEIGHTS", str(tmp_path))
    (tmp_path / PUBLISHED[name].file).touch()
    assert resolve(name) == tmp_path / PUBLISHED[name].file
    assert resolve(str(tmp_path / PUBLISHED[name].file)) == tmp_path / PUBLISHED[name].file


def test_a_missing_file_names_itself_its_origin_and_the_command(folder: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"SLOWFAST_8x8_R50\.pyth.*dl\.fbai.*--fetch slowfast_r50_k400"
    ) as error:
        resolve("slowfast_r50_k400")
    assert str(folder) in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"huggingface\.co/timm/resnet18\.a1_in1k/.*--fetch timm/resnet18"):
        resolve("timm/resnet18.a1_in1k")
    with pytest.raises(FileNotFoundError, match=r"'mine\.pt' are neither a file.*README\.md"):
        resolve("mine.pt")


def test_the_readme_describes_every_published_file() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name, row in PUBLISHED.items() if not (f"`{name}`" in text and row.file in text)] == []
    assert [row.sha256 for row in PUBLISHED.values() if row.sha256 and row.sha256 not in text] == []


def test_the_readme_says_every_licence_as_the_table_does() -> None:
    rows = [line.split(" | ") for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    told = {row[0].strip("| `"): row[-1].strip("| ") for row in rows}
    licences = {name: row.licence for name, row in PUBLISHED.items()} | OTHERS
    shown = {name: licence.text for name, licence in licences.items() if licence and name not in SHIPPED}
    assert {name: told[name] for name in shown} == shown
    refused = [licence.text for licence in licences.values() if licence and licence.commercial is False]
    assert len(refused) >= 3
    assert all("not for commercial use" in text for text in refused)


def test_a_licence_is_known_by_name_file_and_folder() -> None:
    assert licence_of("dover") == licence_of("/somewhere/DOVER.pth") == S_LAB
    assert licence_of("/somewhere/one-align") == licence_of("one-align")
    assert licence_of("timm/vgg16.tv_in1k") is not None
    assert licence_of("timm/resnet18.a1_in1k") is licence_of("mine.pt") is None


def test_a_licence_that_forbids_commercial_use_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sources, "_told", set())
    with torch.device("meta"):
        Sources().take("net", "dover", trained=False)
    assert caplog.messages == [], "listing systems loads nothing"
    for name in ("dover", "dover", "vsfa", "timm/resnet18.a1_in1k", None):
        Sources().take("net", name, trained=False)
    with parts_from_checkpoint():
        Sources().take("net", "DOVER.pth", trained=True)
    said = "S-Lab 1.0 (not for commercial use)."
    assert caplog.messages == [f"Weights 'dover': {said}", f"Weights 'DOVER.pth': {said}"]


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A published file on a `file:` address."""
    source = tmp_path / "origin.pt"
    source.write_bytes(b"weights" * 1000)
    row = Published("mine.pt", source.as_uri(), hashlib.sha256(b"weights" * 1000).hexdigest())
    monkeypatch.setitem(PUBLISHED, "mine", row)
    return row


def test_fetch_puts_the_file_where_resolve_finds_it(folder: Path, offered: Published, tmp_path: Path) -> None:
    assert fetch("mine", folder) == resolve("mine") == folder / "mine.pt"
    (tmp_path / "origin.pt").unlink()
    assert fetch("mine", folder).read_bytes() == b"weights" * 1000, "a file that is there is not fetched again"


def test_fetch_keeps_nothing_that_has_another_digest(folder: Path, offered: Published, tmp_path: Path) -> None:
    (tmp_path / "origin.pt").write_bytes(b"other")
    with pytest.raises(
        ValueError, match=f"gave 5 bytes with sha256 .*, expected 5 bytes with {offered.sha256}; nothing"
    ):
        fetch("mine", folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)), "Connection reset by peer"),
        (IncompleteRead(b"weights"), "IncompleteRead"),
    ],
)
def test_fetch_that_breaks_off_keeps_nothing_and_names_the_file(
    folder: Path, offered: Published, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def break_off(source: object, file: BinaryIO) -> None:
        file.write(b"weights")
        raise error

    monkeypatch.setattr(files.shutil, "copyfileobj", break_off)
    with pytest.raises(ValueError, match=rf"mine\.pt' was not fetched whole from file:.*\({reason}.*nothing was kept"):
        fetch("mine", folder)
    assert list(folder.iterdir()) == []


def test_two_fetches_at_once_do_not_disturb_each_other(
    folder: Path, offered: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.shutil.copyfileobj

    def other_first(source: BinaryIO, file: BinaryIO) -> None:
        monkeypatch.setattr(files.shutil, "copyfileobj", real)
        file.write(source.read(100))
        assert fetch("mine", folder).is_file()  # by another process, from beginning to end
        real(source, file)

    monkeypatch.setattr(files.shutil, "copyfileobj", other_first)
    assert fetch("mine", folder).read_bytes() == b"weights" * 1000
    assert [path.name for path in folder.iterdir()] == ["mine.pt"]


def test_fetch_without_a_network_names_the_address_and_the_place(
    folder: Path, offered: Published, tmp_path: Path
) -> None:
    (tmp_path / "origin.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"origin\.pt cannot be reached .*; put the file at '.*mine\.pt'"):
        fetch("mine", folder)


def test_fetch_of_an_unknown_name(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"no weights are published as 'timm/\.\./\.\./mine'; known are slowfast"):
        fetch("timm/../../mine", folder)
    with pytest.raises(ValueError, match="no weights are published as 'mine'; known are slowfast_r50_k400"):
        fetch("mine", folder)


def test_read_takes_tensors_alone_or_beside_a_script_s_records(tmp_path: Path, network: nn.Module) -> None:
    state = network.state_dict()
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"epoch": 3, "model_state": state}, tmp_path / "training.pt")
    torch.save({"epoch": 3, "state_dict": {"model": state["0.weight"]}}, tmp_path / "named_model.pt")
    save_file(state, tmp_path / "plain.safetensors")
    for name in ("plain.pt", "training.pt", "plain.safetensors"):
        found = read(tmp_path / name)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)
    assert read(tmp_path / "named_model.pt").keys() == {"model"}


@pytest.mark.parametrize("name", ["wrapped.pt", "wrapped.safetensors"])
def test_read_takes_off_the_prefix_of_several_gpus(tmp_path: Path, network: nn.Module, name: str) -> None:
    state = network.state_dict()
    for wrapped in (
        {f"module.{key}": value for key, value in state.items()},
        {"module.a": torch.ones(1), "b.c": torch.ones(1)},
    ):
        (save_file if name.endswith("safetensors") else torch.save)(wrapped, tmp_path / name)
        found = read(tmp_path / name)
        assert found.keys() == (wrapped.keys() if "b.c" in wrapped else state.keys())


def test_read_leaves_out_records_beside_the_tensors(tmp_path: Path, network: nn.Module) -> None:
    state = network.state_dict()
    records = {"epoch": 3, "best": [np.float64(0.9), (np.float32(0.8), np.int64(7))], "optimizer": {"state": {}}}
    torch.save({"state_dict": state, **records}, tmp_path / "below.pt")
    torch.save({**state, **records}, tmp_path / "beside.pt")
    for name in ("below.pt", "beside.pt"):
        found = read(tmp_path / name)
        assert found.keys() == state.keys(), name
        assert all(torch.equal(found[key], state[key]) for key in state)


def test_numbers_of_numpy_1_are_left_out_too(tmp_path: Path) -> None:
    """Its name for what makes a number is the one in files of 2022."""
    torch.save({"state_dict": {"a": torch.ones(1)}, "best": np.float64(0.9)}, tmp_path / "new.pt")
    with zipfile.ZipFile(tmp_path / "new.pt") as new, zipfile.ZipFile(tmp_path / "old.pt", "w") as old:
        for part in new.namelist():
            old.writestr(part, new.read(part).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"cnumpy.core.multiarray\nscalar" in (tmp_path / "old.pt").read_bytes()
    assert read(tmp_path / "old.pt").keys() == {"a"}


def test_an_array_of_numpy_is_no_number(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1), "b": np.zeros(2)}, tmp_path / "array.pt")
    with pytest.raises(ValueError, match=r"array\.pt' is damaged or holds pickled code"):
        read(tmp_path / "array.pt")


def test_pickled_code_does_not_run(tmp_path: Path) -> None:
    torch.save({"a": Runs(tmp_path / "ran")}, tmp_path / "evil.pt")
    (tmp_path / "plain_pickle.pt").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    for name in ("evil.pt", "plain_pickle.pt"):
        with pytest.raises(ValueError, match=rf"{name}' is damaged or holds pickled code"):
            read(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
@pytest.mark.parametrize("name", ["file.pt", "file.safetensors"])
def test_a_truncated_file(tmp_path: Path, network: nn.Module, name: str, kept: float) -> None:
    path = tmp_path / name
    save_file(network.state_dict(), path) if name.endswith("tensors") else torch.save(network.state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(ValueError, match=rf"{name}' (is not a complete|is damaged|holds no weights)"):
        read(path)


@pytest.mark.parametrize("content", [b"sequence,mos\na,1\n", b"\0\0\0\x20ftypisom", b"<html>", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_torch_never_wrote(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wrong.pt").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"wrong\.pt' holds no weights; expected a file of `torch\.save`, or one of saf"
    ):
        read(tmp_path / "wrong.pt")
    (tmp_path / "wrong.pt").write_bytes(b"\x80\x02a.")
    with pytest.raises(ValueError, match=r"wrong\.pt' is not a complete file of tensors"):
        read(tmp_path / "wrong.pt")


def test_a_program_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "ViT-L-14.pt")
    with pytest.raises(ValueError, match=r"TorchScript program, such as OpenAI's CLIP.*safetensors"):
        read(tmp_path / "ViT-L-14.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_a_file_without_tensors(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "records.pt")
    with pytest.raises(
        ValueError, match=r"records\.pt' holds no state dict at its top or under state_dict, model_state"
    ):
        read(tmp_path / "records.pt")


# Keys


def copy_of(network: nn.Module) -> nn.Module:
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert not torch.equal(other[0].weight, network[0].weight)
    return other


def test_load_exact_fills_everything(tmp_path: Path, network: nn.Module) -> None:
    network[1].running_mean += 1
    torch.save(network.state_dict(), tmp_path / "all.pt")
    other = copy_of(network)
    load_exact(other, str(tmp_path / "all.pt"))
    assert digest(other) == digest(network)


def test_load_exact_with_a_part_of_a_file_under_other_names(network: nn.Module) -> None:
    names = {"linear": "0", "norm": "1"}
    old = {"0": "linear", "1": "norm"}
    source = {f"net.{old[key[0]]}{key[1:]}": tensor for key, tensor in network.state_dict().items()}
    source |= {"net.head.weight": torch.zeros(2), "optimizer.lr": torch.zeros(1)}

    def rename(key: str) -> str | None:
        first, rest = key.split(".", 1)
        return f"{names[first]}.{rest}" if first in names else None

    other = copy_of(network)
    load_exact(other, source, rename=rename, prefix="net.")
    assert digest(other) == digest(network)

    table = {key.removeprefix("net."): names[key.split(".")[1]] + key[key.index(".", 4) :] for key in list(source)[:-2]}
    other = copy_of(network)
    load_exact(other, source, rename=table, prefix="net.", unused={"head.weight"})
    assert digest(other) == digest(network)


def test_a_part_of_several_names_and_one_that_is_not_there(network: nn.Module) -> None:
    source = {f"second.{key}": tensor + 1 for key, tensor in network.state_dict().items()} | {"third.a": torch.ones(1)}
    other = copy_of(network)
    load_exact(other, source, prefix=("first.", "second."))
    assert torch.equal(other[0].weight, network[0].weight + 1)
    there = r"there are 8 such as second\.0\.weight, second\.0\.bias, second\.1\.weight; give"
    with pytest.raises(
        ValueError, match=rf"the given tensors do not fit Sequential: no key begins with 'net\.', {there}"
    ):
        load_exact(other, source, prefix="net.")
    with pytest.raises(ValueError, match=r"no key begins with 'first\.' or 'fourth\.', "):
        load_exact(other, source, prefix=("first.", "fourth."))


def test_missing_and_unexpected_keys_are_named_and_nothing_is_loaded(network: nn.Module) -> None:
    source = {key: tensor + 1 for key, tensor in network.state_dict().items() if key != "0.bias"}
    source |= {"2.weight": torch.zeros(1), "1.weight": torch.zeros(5)}
    before = digest(network)
    message = (
        r"keys 1 missing \(0\.bias\); 1 unexpected \(2\.weight\); 1 of another shape \(1\.weight \(5,\) for \(4,\)\)"
    )
    with pytest.raises(ValueError, match=f"the given tensors do not fit Sequential: {message}"):
        load_exact(network, source)
    assert digest(network) == before


def test_the_file_that_does_not_fit_is_named(tmp_path: Path, network: nn.Module) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"weights '.*other\.pt' do not fit Sequential: keys 7 missing \(0\.weight, "):
        load_exact(network, tmp_path / "other.pt")


# Digest


def test_digest_sees_values_names_types_and_statistics(network: nn.Module) -> None:
    seen = {digest(network)}
    with torch.no_grad():
        network[0].weight[0, 0] += 1
    seen.add(digest(network))
    network(torch.rand(5, 3))  # moves the running statistics
    seen.add(digest(network))
    network.double()
    seen.add(digest(network))
    seen.add(digest(nn.Sequential(nn.Identity(), network[0])))
    seen.add(digest(network[0]))
    assert len(seen) == 6


def test_digest_is_the_same_for_a_copy_and_after_a_round_trip(network: nn.Module) -> None:
    other = copy_of(network)
    before = digest(other)
    other.load_state_dict(network.state_dict())
    assert digest(other) == digest(network) != before


def test_digest_takes_half_precision_and_empty_modules() -> None:
    assert digest(nn.Linear(2, 2).bfloat16()) != digest(nn.Linear(2, 2).half())
    assert digest(nn.Identity()) == hashlib.sha256().hexdigest()


def test_digest_is_the_same_in_another_process(network: nn.Module) -> None:
    program = (
        "import torch; from torch import nn; from cvqa_models.weights.exact import digest; torch.manual_seed(0)\n"
        "print(digest(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == digest(network)


def test_a_source_is_a_file_with_a_digest_or_random_with_a_seed(tmp_path: Path) -> None:
    torch.manual_seed(11)
    sources = Sources()
    assert sources.take("net", None, trained=True) is None
    assert sources["net"] == WeightSource(None, trained=True, seed=11)
    assert (sources["net"].random, sources["net"].here) == (True, False)
    (tmp_path / "w.pt").write_bytes(b"numbers")
    path = str(tmp_path / "w.pt")
    assert sources.take("net", path, trained=False) == path
    assert sources["net"] == WeightSource(path)
    assert (sources["net"].random, sources["net"].here) == (False, True)
    assert sources["net"].sha256 == hashlib.sha256(b"numbers").hexdigest()
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "config.json").write_text("{}")
    assert WeightSource(str(tmp_path / "llm")).here
    assert not WeightSource(str(tmp_path / "gone.pt")).here


def test_what_a_checkpoint_holds_and_what_has_no_memory_is_not_read() -> None:
    sources = Sources()
    with parts_from_checkpoint():
        assert sources.take("moving", "w.pt", trained=True) is None
        assert sources.take("fixed", "w.pt", trained=False) == "w.pt"
    assert sources.take("moving", "w.pt", trained=True) == "w.pt"
    with torch.device("meta"):
        assert sources.take("other", "w.pt", trained=False) is None
    assert [source.name for source in sources.values()] == ["w.pt"] * 3
