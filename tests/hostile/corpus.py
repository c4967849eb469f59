"""Files that try to run code, open files or reach the network when they are read: checkpoints and configurations.

Each entry takes another way into the program. Two modules and some files lie about for them: `evil_marker`, which
leaves a mark when it is imported, `secret`, which nobody may open, and `precious`, which nobody may remove.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

EVIL = "evil_marker.Evil"
SPEC = {"class_path": EVIL, "init_args": {}}
VIEW = {
    "frames": {"class_path": "cvqa_models.video.frame_rules.KeyFrames", "init_args": {"num_clips": 1}},
    "pixels": {"class_path": "cvqa_models.video.pixel_rules.Crop", "init_args": {"size": 32, "short": 32}},
}
GOOD: dict[str, Any] = {
    "_class_path": "cvqa_models.models.multibranch.MultiBranch",
    "branches": {
        "a": {
            "class_path": "cvqa_models.branches.timm.Timm",
            "init_args": {"name": "test_vit", "view": VIEW, "weights": None},
        }
    },
    "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss", "init_args": {"terms": {"plcc": 1.0}}},
    "recipe": {"lr_head": 0.001},
    "hidden": None,
    "_instantiator": "pytorch_lightning.cli.instantiate_module",
}


class Bomb:
    """An object whose pickle runs a program."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("open('ran', 'w').close()",))


def lay_out(folder: Path) -> None:
    """Put the modules and files there that hostile files are after; `folder` is where a command is called."""
    mark = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    (folder / "evil_marker.py").write_text(mark + "def Evil(*a, **k): ...\n")
    (folder / "evil.yaml").write_text(json.dumps({**SPEC, "model": SPEC, "trainer": SPEC}))
    precious, secret = far(folder) / "precious", far(folder) / "secret"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    secret.mkdir()
    torch.save({"a": torch.ones(1)}, secret / "weights.pth")
    (secret / "table.csv").write_text("video_id,a\nx,1\n")
    # What timm, open_clip and transformers look for in a folder.
    for name in ("config.json", "open_clip_config.json", "tokenizer.json"):
        (secret / name).write_text(json.dumps({"model_type": "x", "auto_map": {"AutoConfig": "evil_marker.Evil"}}))


def far(folder: Path) -> Path:
    """Return the folder of files that no name from outside may reach."""
    return folder.parent.parent


def hparams(**changes: Any) -> dict[str, Any]:
    return {**deepcopy(GOOD), **changes}


def branch(kind: str = "timm.Timm", /, **init_args: Any) -> dict[str, Any]:
    """Return arguments of a model whose branch is another, or has other arguments."""
    found = hparams()
    found["branches"]["a"]["class_path"] = f"cvqa_models.branches.{kind}"
    if kind == "timm.Timm":
        found["branches"]["a"]["init_args"].update(init_args)
    else:
        found["branches"]["a"]["init_args"] = init_args
    return found


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def unfolding() -> list[Any]:
    value: list[Any] = ["lol"]
    for _ in range(50):
        value = [value, value]
    return value


BOMB_OF_YAML = (
    "[&a [x,x,x,x,x,x], "
    + ", ".join(f"&{b} [{','.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]"
)


def configurations(folder: Path) -> dict[str, Any]:
    """Return name -> hyper-parameters of a checkpoint, each hostile in another way."""
    secret = str(far(folder) / "secret")
    classes = {
        f"class {path!r}": hparams(_class_path=path)
        for path in (
            EVIL, "evil_marker", "cvqa_models..evil_marker.Evil", ".evil_marker.Evil", "evil_marker.sub.Evil",
            "os.system", "builtins.exec", "functools.partial", "subprocess.Popen", "torch.hub.load",
            "cvqa_models.weights.files.fetch", "cvqa_models.weights.urllib.request.urlopen",
            "cvqa_models.training.cli.run_cli", "cvqa_models.weights.files.os.system",
            "pytorch_lightning.callbacks.LambdaCallback",
            "cvqa_models.evil_marker.Evil",
            "cvqa_models.models.multibranch.MultiBranch\nevil_marker.Evil", "evil.yaml",
        )
    }  # fmt: skip
    places = {
        "model as arguments": hparams(init_args=SPEC),
        "unnamed arguments of the model": hparams(dict_kwargs={"x": SPEC}),
        "class of a branch": hparams(branches={"a": SPEC}),
        "branch as a name": hparams(branches={"a": EVIL}),
        "branch as a file": hparams(branches={"a": "evil.yaml"}),
        "branches as a file": hparams(branches="evil.yaml"),
        "branches as YAML": hparams(branches=f"{{a: {{class_path: {EVIL}}}}}"),
        "branches as a list": hparams(branches=[SPEC]),
        "loss": hparams(loss=SPEC),
        "loss as a name": hparams(loss=EVIL),
        "loss with more": hparams(loss={**GOOD["loss"], "dict_kwargs": {"x": SPEC}}),
        "loss with a path": hparams(loss={**GOOD["loss"], "__path__": "evil.yaml"}),
        "recipe": hparams(recipe=SPEC),
        "recipe as a file": hparams(recipe="evil.yaml"),
        "inside the recipe": hparams(recipe={"trained_from_epoch": {"a": SPEC}}),
        "number": hparams(hidden=SPEC),
        "list of names": hparams(drop=[SPEC]),
        "choice": hparams(pooling=EVIL),
        "instantiator": hparams(_instantiator="evil_marker.Evil"),
        "parser's configuration": hparams(config="evil.yaml"),
        "nested deeply": hparams(drop=nested(200)),
        "unfolding": hparams(drop=unfolding()),
        "unfolding YAML": hparams(drop=BOMB_OF_YAML),
        "unfolding YAML as text": branch(weights=BOMB_OF_YAML),
        "numbers as names": {**hparams(), 1: SPEC},
    }
    arguments = {
        "timm args": branch(args={"x": SPEC}),
        "timm args deeper": branch(args={"x": [{"y": SPEC}]}),
        "timm file": branch(args={"checkpoint_path": f"{secret}/weights.pth"}),
        "timm download": branch(args={"pretrained": True}),
        "timm layer": branch(args={"act_layer": EVIL}),
        "timm hub": branch(name="hf-hub:stranger/model"),
        "timm folder": branch(name=f"local-dir:{secret}"),
        "timm folder by a shorter way": branch(name="local-dir:../../secret"),
        "swin args": branch("swin.Swin", args={"x": SPEC}),
        "clip vision": branch("clip.Clip", name="ViT-B-16", vision={"x": SPEC}),
        "clip tower of timm": branch("clip.Clip", name="ViT-B-16", vision={"timm_model_name": "hf-hub:stranger/model"}),
        "clip download": branch("clip.Clip", name="convnext_base", vision={"timm_model_pretrained": True}),
        "clip hub": branch("clip.Clip", name="hf-hub:stranger/model"),
        "clip folder": branch("clip.Clip", name=f"local-dir:{secret}"),
        "resnet hub": branch("resnet50_stats.ResNet50Stats", name="hf-hub:stranger/model"),
        "resnet folder": branch("resnet50_stats.ResNet50Stats", name=f"local-dir:{secret}"),
        "hvs5m hub": branch("hvs5m.HvsSpatial", name="hf-hub:stranger/model"),
        "llava class": branch("lmm_levels.LmmLevels", untrained={"text_config": SPEC}),
        "llava kernels": branch("lmm_levels.LmmLevels", untrained={"attn_implementation": "stranger/kernel"}),
        "llava folder": branch("lmm_levels.LmmLevels", base=secret),
        "qalign folder": branch("qalign.QAlign", weights=f"{secret}/../secret"),
        "weights elsewhere": branch(weights=f"{secret}/weights.pth", frozen=True),
        "weights above": branch(weights="../../secret/weights.pth", frozen=True),
        "weights at home": branch(weights="~/weights.pth", frozen=True),
        "weights by address": branch(weights="https://stranger.example/weights.pth", frozen=True),
        "weights of a share": branch(weights=r"\\stranger\share\weights.pth", frozen=True),
        "weights as a class": branch(weights=SPEC),
        "table elsewhere": branch("table.Table", path=f"{secret}/table.csv", columns=["a"]),
        "measure that downloads": {
            "_class_path": "cvqa_models.models.metric.Metric", "name": "piq:LPIPS", "download": True,
        },
        "measure of another library": {
            "_class_path": "cvqa_models.models.metric.Metric", "name": "evil_marker:x",
        },
    }  # fmt: skip
    return {**classes, **places, **arguments}


def checkpoints(folder: Path, state: dict[str, torch.Tensor]) -> dict[str, Path]:
    """Write every hostile checkpoint; return name -> file."""
    content = {"state_dict": state, "hyper_parameters": hparams(), "epoch": 0, "global_step": 0}
    content["pytorch-lightning_version"] = "2.6.0"
    whole = {name: {**content, "hyper_parameters": value} for name, value in configurations(folder).items()}
    for part in ("state_dict", "hyper_parameters", "optimizer_states", "callbacks", "loops", "epoch", "frozen_digests"):
        whole[f"program as {part}"] = {**content, part: {"x": Bomb()}}
    whole["program as the whole"] = Bomb()  # type: ignore[assignment]
    whole["text as configuration"] = {**content, "hyper_parameters": EVIL}
    whole["text as weights"] = {**content, "state_dict": EVIL}
    written = {}
    for number, (name, value) in enumerate(whole.items()):
        written[name] = folder / f"{number}.ckpt"
        torch.save(value, written[name])
    for name, data in files().items():
        written[name] = folder / f"{len(written)}.ckpt"
        written[name].write_bytes(data)
    return written


def files() -> dict[str, bytes]:
    """Return name -> bytes of files that are no checkpoints, and would run a program in a careless reader."""
    old = io.BytesIO()
    torch.save({"state_dict": Bomb()}, old, _use_new_zipfile_serialization=False)
    skops, packed, deep = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(skops, "w") as archive:
        schema = {"__class__": "Evil", "__module__": "evil_marker", "__loader__": "ObjectNode", "__id__": 1}
        archive.writestr("schema.json", json.dumps(schema))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(1 << 26))
    with zipfile.ZipFile(deep, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
        archive.writestr("a/version", b"3")
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 1 << 62]}}).encode()
    nest = b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    return {
        "pickle": pickle.dumps(Bomb()),
        "pickle of protocol 0": pickle.dumps(Bomb(), protocol=0),
        "torch before 1.6": old.getvalue(),
        "skops": skops.getvalue(),
        "packed": packed.getvalue(),
        "lists in lists": deep.getvalue(),
        "safetensors of another size": len(header).to_bytes(8, "little") + header,
        "safetensors nested deeply": len(nest).to_bytes(8, "little") + nest,
        "safetensors of no length": b"\xff" * 8,
    }


TOPS: dict[str, Callable[[Path], str]] = {
    "trainer": lambda folder: json.dumps({"trainer": SPEC}),
    "callbacks": lambda folder: json.dumps({"trainer": {"callbacks": [SPEC]}}),
    "logger": lambda folder: json.dumps({"trainer": {"logger": SPEC}}),
    "seed": lambda folder: json.dumps({"seed_everything": SPEC}),
    "run": lambda folder: json.dumps({"run": SPEC}),
    "maps": lambda folder: json.dumps({"maps": SPEC}),
    "checkpoint": lambda folder: json.dumps({"ckpt_path": SPEC}),
    "source": lambda folder: json.dumps({"data": {"source": SPEC}}),
    "source as a name": lambda folder: json.dumps({"data": {"source": EVIL}}),
    "split": lambda folder: json.dumps({"data": {"split": SPEC}}),
    "model": lambda folder: json.dumps({"model": SPEC}),
    "model as a name": lambda folder: json.dumps({"model": EVIL}),
    "model as a file": lambda folder: json.dumps({"model": str(folder / "evil.yaml")}),
    "branch": lambda folder: json.dumps({"model": {"init_args": {"branches": {"a": SPEC}}}}),
    "branch as a name": lambda folder: json.dumps({"model": {"init_args": {"branches": {"a": EVIL}}}}),
    "loss as a name": lambda folder: json.dumps({"model": {"init_args": {"loss": EVIL}}}),
    "timm args": lambda folder: json.dumps(
        {"model": {"init_args": {"branches": {"a": {**GOOD["branches"]["a"], "init_args": {"args": {"x": SPEC}}}}}}}
    ),
    "configuration": lambda folder: json.dumps({"config": str(folder / "evil.yaml")}),
    "tag": lambda folder: "model: !!python/object/apply:os.system ['touch ran']\n",
    "tag of a module": lambda folder: "trainer: !!python/module:evil_marker\n",
    "tag of a name": lambda folder: f"data: !!python/name:{EVIL}\n",
    "interpolation": lambda folder: "model: ${oc.env:HOME}\n",
    "unfolding": lambda folder: f"data: {BOMB_OF_YAML}\n",
    "circle": lambda folder: "trainer: &a [*a]\n",
    "nested deeply": lambda folder: "data: " + "[" * 5000 + "]" * 5000 + "\n",
}
