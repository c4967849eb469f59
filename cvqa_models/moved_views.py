"""The rows of `moved` for views: in the last release, each branch had its own arguments in place of a `view`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Arguments = dict[str, Any]
Making = Callable[[Arguments], Arguments]


def _rule(name: str, **arguments: Any) -> Arguments:
    """Return the configuration of a frame or pixel rule."""
    return {"class_path": f"cvqa_models.video.{name}", "init_args": arguments}


def _viewed(count: str, frames: Making, pixels: Making, /, **before: Any) -> Making:
    """Return a function that replaces a branch's old arguments by `num_clips` where that is enough, else by a `view`.

    Args:
        count: Old argument that is now called `num_clips`.
        frames: Makes the frame rule of the view from all arguments.
        pixels: Makes its pixel rule likewise.
        before: Old arguments and their defaults.
    """

    def rewrite(arguments: Arguments) -> Arguments:
        given = {name: value for name, value in arguments.items() if name in before}
        if not given or arguments.get("view") is not None:
            return arguments
        others = {name: value for name, value in arguments.items() if name not in before}
        changed = {name for name, value in given.items() if not _same(value, before[name])}
        if changed <= {count}:
            return others | {"num_clips": given[count]} if changed else others
        try:
            view = {part: making(before | arguments) for part, making in (("frames", frames), ("pixels", pixels))}
        except (LookupError, RuntimeError, TypeError, ValueError, AttributeError):
            return arguments  # values that were never allowed, in a file from outside: the parser refuses them
        return others | {"num_clips": None, "view": view}

    return rewrite


def _same(value: Any, default: Any) -> bool:
    # Compared as text: a value from outside may be of any type, even one whose `==` gives no bool.
    return repr(list(value) if isinstance(value, tuple) else value) == repr(default)


def _trained(old: Arguments, *, frozen: bool) -> bool:
    """Return whether training drew places at random: it did if the branch was not frozen. `frozen` is its default."""
    return not old.get("frozen", frozen)


def _key_frames(count: str) -> Making:
    rules = {"even": "frame_rules.KeyFrames", "official": "frame_rules.OfficialKeyFrames"}
    return lambda old: _rule(rules[old["sampling"]], num_clips=old[count])


def _chunks(length: int | None = None, fps: float | None = None) -> Making:
    rules = {"even": "frame_rules.Chunks", "official": "frame_rules.OfficialChunks"}

    def frames(old: Arguments) -> Arguments:
        frames = old["length"] if length is None else length
        return _rule(rules[old["sampling"]], num_clips=old["num_chunks"], clip_length=frames, fps=fps)

    return frames


def _uniform(old: Arguments, count: int, length: int, *, random: bool, seed: int = 0) -> Arguments:
    rules = {"even": "frame_rules.UniformClips", "official": "frame_rules.OfficialUniformClips"}
    seeded = {"seed": seed} if old["sampling"] == "official" else {}
    arguments = {"num_clips": count, "clip_length": length, "stride": old["stride"], "random": random, **seeded}
    return _rule(rules[old["sampling"]], **arguments)


def _runs(seed: int) -> Making:
    def frames(old: Arguments) -> Arguments:
        random = _trained(old, frozen=False)
        return _rule("spliced.Spliced", runs=_uniform(old, old["num_moments"], 2, random=random, seed=seed))

    return frames


def _whole(even: str, count: str, **others: str) -> Making:
    """Return a function that makes one of two rules, of which only `even` has a number of clips."""

    def frames(old: Arguments) -> Arguments:
        if old["sampling"] == "even":
            return _rule(even, num_clips=old[count])
        return _rule(others[old["sampling"]])

    return frames


def _fragments(*, frozen: bool) -> Making:
    rules = {"even": "patches.Fragments", "official": "patches.OfficialFragments"}

    def pixels(old: Arguments) -> Arguments:
        random = _trained(old, frozen=frozen)
        return _rule(rules[old["sampling"]], grid=old["grid"], patch=old["patch"], random=random)

    return pixels


def _native(old: Arguments) -> Arguments:
    return _rule("pixel_rules.Native")


def _resized(old: Arguments) -> Arguments:
    """Return the pixel rule of branches that kept the video's size unless a size was given."""
    if old["size"] is None:
        return _native(old)
    height, width = old["size"]
    return _rule("pixel_rules.Resize", height=height, width=width)


def _squeezed(old: Arguments) -> Arguments:
    return _rule("pixel_rules.Resize", height=old["size"], width=old["size"])


def _within(rule: str) -> Making:
    return lambda old: _rule(rule, height=old["height"], width=old["width"], kernel="bicubic")


def _square(side: Callable[[Arguments], Any], kernel: str) -> Making:
    def pixels(old: Arguments) -> Arguments:
        size = side(old)
        if old["geometry"] == "resize":
            return _rule("pixel_rules.Resize", height=size, width=size, kernel=kernel)
        random = {"crop": False, "random_crop": True}[old["geometry"]]
        return _rule("pixel_rules.Crop", size=size, short=size, random=random, kernel=kernel)

    return pixels


def _side_of_timm(old: Arguments) -> Any:
    if old["size"] is not None:
        return old["size"]
    from timm.models import get_pretrained_cfg  # slow to import, and mostly not needed

    return get_pretrained_cfg(str(old.get("name", _SWIN))).input_size[-1]


def _side_of_clip(old: Arguments) -> Any:
    from open_clip import get_model_config, list_models

    name, vision = old.get("name", "ViT-L-14-quickgelu"), old.get("vision") or {}
    if name not in list_models():  # any other name may be an address or a folder for open_clip
        raise LookupError(name)
    return vision.get("image_size") or get_model_config(name)["vision_cfg"].get("image_size", 224)


_SWIN = "swin_base_patch4_window12_384.ms_in22k"
_FRAMES_OF_8 = {"num_frames": 8, "sampling": "even"}
_COUNT_OF_8 = {"count": 8, "sampling": "even"}
_SQUARES = {**_FRAMES_OF_8, "size": None, "geometry": "crop"}
_PATCHES = {"grid": [7, 7], "patch": 32, "stride": 2, "sampling": "even"}
_UVQ = {**_FRAMES_OF_8, "height": 1080, "width": 1920}
_HVS = {"num_chunks": 5, "size": None, "sampling": "even"}

_timm = _viewed("num_frames", _key_frames("num_frames"), _square(_side_of_timm, "bilinear"), **_SQUARES)
_native_frames = _viewed("num_frames", _key_frames("num_frames"), _native, **_FRAMES_OF_8)
_native_count = _viewed("count", _key_frames("count"), _native, **_COUNT_OF_8)
_spread = _whole("dense.SpreadFrames", "num_frames", official="dense.OfficialEveryFrame")
_ms_ssim = _viewed("num_frames", _spread, _native, num_frames=32, sampling="even")
_uvq = _viewed(
    "num_frames",
    _whole("frame_rules.KeyFrames", "num_frames", official="dense.OfficialSeconds"),
    _within("pixel_rules.Resize"),
    **_UVQ,
)

_BRANCHES: dict[str, Making] = {
    "timm.Timm": _timm,
    "swin.Swin": _timm,
    "swin_attention.SwinAttention": _timm,
    "clip.Clip": _viewed(
        "num_frames", _key_frames("num_frames"), _square(_side_of_clip, "bicubic"), geometry="crop", **_FRAMES_OF_8
    ),
    "clip_frames.ClipFrames": _viewed(
        "num_frames",
        lambda old: _uniform(old, old["num_frames"], 1, random=_trained(old, frozen=True)),
        _squeezed,
        num_frames=20,
        stride=2,
        size=512,
        sampling="even",
    ),
    "compression.Compression": _viewed(
        "num_chunks", _chunks(5, 5), _within("pixel_rules.Fit"), num_chunks=8, height=720, width=1280, sampling="even"
    ),
    "compression_level.CompressionLevel": _viewed(
        "clips",
        lambda old: _uniform({"stride": 1, "sampling": "even"}, old["clips"], 2, random=_trained(old, frozen=False)),
        lambda old: _rule(
            "patches.NativePatches", grid=old["grid"], patch=old["patch"], random=_trained(old, frozen=False)
        ),
        clips=8,
        grid=[3, 4],
        patch=112,
    ),
    "convnext3d.ConvNeXt3DMap": _viewed(
        "num_moments", _runs(2), _squeezed, num_moments=20, stride=2, size=224, sampling="even"
    ),
    "swin3d.Swin3DMap": _viewed("num_moments", _runs(1), _fragments(frozen=False), num_moments=20, **_PATCHES),
    "fastvqa.FastVqa": _viewed(
        "num_clips",
        lambda old: _uniform(old, old["num_clips"], old["length"], random=_trained(old, frozen=True)),
        _fragments(frozen=True),
        num_clips=4,
        length=32,
        **_PATCHES,
    ),
    "hvs5m.HvsSpatial": _viewed(
        "num_chunks",
        _whole("dense.MotionChunks", "num_chunks", mended="dense.MotionSteps", official="dense.OfficialMotionSteps"),
        _resized,
        **_HVS,
    ),
    "hvs5m.HvsMotion": _viewed(
        "num_chunks",
        _whole("dense.MotionChunks", "num_chunks", official="dense.OfficialMotionChunks"),
        _resized,
        **_HVS,
    ),
    "library_metric.LibraryMetric": _native_frames,
    "liqe.Liqe": _native_frames,
    "lmm_levels.LmmLevels": _native_count,
    "ms_ssim.MsSsimFrames": _ms_ssim,
    "piq.Piq": _native_frames,
    "qalign.QAlign": _native_count,
    "qalign.QAlignLevels": _native_count,
    "resnet50_stats.ResNet50Stats": _viewed(
        "num_frames", _spread, _resized, num_frames=128, size=None, sampling="even"
    ),
    "slowfast.SlowFast": _viewed(
        "num_chunks", _chunks(), _squeezed, num_chunks=8, length=32, size=224, sampling="even"
    ),
    "uvq.UvqContent": _uvq,
    "uvq.UvqDistortion": _uvq,
}

VIEWS: dict[str, Making] = {
    **{f"cvqa_models.branches.{name}": making for name, making in _BRANCHES.items()},
    "cvqa_models.models.ms_ssim.MsSsim": _ms_ssim,
    "cvqa_models.models.metric.Metric": _native_frames,
}
"""New class path -> function from old arguments to new ones; new arguments are left as they are."""
