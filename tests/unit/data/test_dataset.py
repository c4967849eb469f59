"""Batches: what the store serves is not decoded, what is decoded is decoded once per video."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cvqa_models.data import dataset as module
from cvqa_models.data.dataset import VideoDataset, concatenate, load_batch
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.types import Demand, VideoRecord
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Crop, Native, Resize
from cvqa_models.video.reader import ReadOptions
from cvqa_models.video.view import View

SMALL = View(KeyFrames(2), Resize(4, 4))
RANDOM = View(KeyFrames(2), Crop(3, random=True))
NATIVE = View(KeyFrames(1), Native())
RECORDS = [VideoRecord(f"v{i}", f"v{i}.mp4", f"g{i // 3}", "r", mos=float(i), weight=0.5) for i in range(6)]
OPTIONS = ReadOptions()


class Decoder:
    """Stands in for `read_views`: every pixel is the video's number, plus noise from the generator."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.broken: set[str] = set()

    def __call__(
        self, path: str, views: Sequence[View], options: ReadOptions, rng: np.random.Generator | None, reference: Any
    ) -> dict[str, torch.Tensor]:
        self.calls.append((path, [view.key for view in views]))
        if path in self.broken:
            raise ValueError(f"'{path}' is broken.")
        number = int(path.removeprefix("v").removesuffix(".mp4"))
        noise = 0 if rng is None else int(rng.integers(1, 100))
        side = 4 + number if any(view is NATIVE for view in views) else 4
        return {view.key: torch.full((2, 3, 1, side, side), number + noise, dtype=torch.uint8) for view in views}


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Decoder:
    fake = Decoder()
    monkeypatch.setattr(module, "read_views", fake)
    return fake


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(tmp_path, OPTIONS.key)
    for i in range(6):
        store.write("cached", f"v{i}", torch.full((2, 5), float(i)), {"reading": OPTIONS.key})
    return store


def test_two_branches_share_one_decode(decoder: Decoder) -> None:
    demands = {"a": Demand(SMALL, None), "b": Demand(SMALL, None), "c": Demand(RANDOM, None)}
    batch = load_batch(RECORDS[1:5], demands, None, OPTIONS)
    assert decoder.calls == [(f"v{i}.mp4", [SMALL.key, RANDOM.key]) for i in range(1, 5)]
    assert batch.views[SMALL.key].shape == (4, 2, 3, 1, 4, 4)
    assert batch.views[SMALL.key][:, 0, 0, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert (batch.video_id, batch.group_name) == (["v1", "v2", "v3", "v4"], ["g0", "g0", "g1", "g1"])
    assert batch.group.tolist() == [0, 0, 1, 1]
    assert batch.mos.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert batch.weight.tolist() == [0.5] * 4


def test_cached_branches_are_not_decoded(decoder: Decoder, store: FeatureStore) -> None:
    batch = load_batch(RECORDS[:2], {"a": Demand(SMALL, "cached")}, store, OPTIONS)
    assert decoder.calls == []
    assert batch.views == {}
    assert batch.features["a"][:, 0, 0].tolist() == [0.0, 1.0]


def test_a_branch_is_cached_for_all_videos_or_for_none(decoder: Decoder, store: FeatureStore) -> None:
    store.path("cached", "v5").unlink()
    data = VideoDataset(RECORDS, [[0, 1]], {"a": Demand(SMALL, "cached")}, store, OPTIONS)
    batch = data[0]
    assert not data.cached
    assert list(batch.views) == [SMALL.key]
    assert batch.features == {}


def test_one_branch_cached_and_one_decoded(decoder: Decoder, store: FeatureStore) -> None:
    demands = {"a": Demand(SMALL, "cached"), "b": Demand(RANDOM, None)}
    batch = VideoDataset(RECORDS, [[2, 1]], demands, store, OPTIONS)[0]
    assert list(batch.features) == ["a"]
    assert list(batch.views) == [RANDOM.key]
    assert batch.features["a"][:, 0, 0].tolist() == [2.0, 1.0]


def test_with_everything_cached_the_store_is_read_once(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    data = VideoDataset(RECORDS, [[0, 1, 2], [3, 4, 5]], {"a": Demand(SMALL, "cached")}, store, OPTIONS)
    monkeypatch.setattr(FeatureStore, "read", None)
    assert data.cached
    assert data[1].features["a"][:, 0, 0].tolist() == [3.0, 4.0, 5.0]
    assert data[(7, 0)].mos.tolist() == [0.0, 1.0, 2.0]


def test_random_views_depend_on_seed_epoch_and_group_alone(decoder: Decoder) -> None:
    def values(seed: int | None, epoch: int, items: list[list[int]], item: int) -> list[int]:
        data = VideoDataset(RECORDS, items, {"a": Demand(RANDOM, None)}, None, OPTIONS, seed=seed)
        return [int(v) for v in data[(epoch, item)].views[RANDOM.key][:, 0, 0, 0, 0, 0]]

    first = values(0, 0, [[0, 1, 2]], 0)
    assert values(0, 0, [[0, 1, 2]], 0) == first
    assert values(0, 0, [[3], [1, 2, 0]], 1) == [*first[1:], first[0]]
    assert first == [first[0] + video for video in range(3)], "a group is seen at the same places"
    assert values(0, 0, [[0, 3]], 0)[1] - 3 != first[0]
    assert values(0, 1, [[0, 1, 2]], 0) != first
    assert values(1, 0, [[0, 1, 2]], 0) != first
    assert values(None, 0, [[0, 1, 2]], 0) == [0, 1, 2]


def test_each_video_can_have_random_views_of_its_own(decoder: Decoder) -> None:
    def values(epoch: int, items: list[list[int]], item: int) -> list[int]:
        data = VideoDataset(RECORDS, items, {"a": Demand(RANDOM, None)}, None, OPTIONS, seed=0, shared_views=False)
        return [int(v) for v in data[(epoch, item)].views[RANDOM.key][:, 0, 0, 0, 0, 0]]

    first = values(0, [[0, 1, 2]], 0)
    assert len({value - video for video, value in enumerate(first)}) == 3
    assert values(0, [[3], [1, 2, 0]], 1) == [*first[1:], first[0]]
    assert values(1, [[0, 1, 2]], 0) != first


def test_a_large_group_is_drawn_anew_in_each_epoch(decoder: Decoder) -> None:
    data = VideoDataset(
        RECORDS, [[0, 1, 2, 3, 4, 5]], {"a": Demand(SMALL, None)}, None, OPTIONS, videos_per_item=3, seed=0
    )
    draws = [tuple(data[(epoch, 0)].video_id) for epoch in range(10)]
    assert all(len(set(draw)) == 3 for draw in draws)
    assert len(set(draws)) > 3
    assert draws[4] == tuple(data[(4, 0)].video_id)


def test_batches_join_with_one_group_index(decoder: Decoder) -> None:
    data = VideoDataset(RECORDS, [[0, 1], [3, 4], [2]], {"a": Demand(SMALL, None)}, None, OPTIONS)
    batch = concatenate([data[0], data[1], data[2]])
    assert batch.group.tolist() == [0, 0, 1, 1, 0]
    assert batch.views[SMALL.key][:, 0, 0, 0, 0, 0].tolist() == [0, 1, 3, 4, 2]


def test_frames_of_several_sizes_are_refused(decoder: Decoder) -> None:
    with pytest.raises(
        ValueError, match=r"View 'k.*native' is 4x4 for 'v0' but 5x5 for 'v1', which cannot share a batch"
    ):
        load_batch(RECORDS[:2], {"a": Demand(NATIVE, None)}, None, OPTIONS)
    parts = [load_batch([record], {"a": Demand(NATIVE, None)}, None, OPTIONS) for record in RECORDS[:2]]
    with pytest.raises(ValueError, match="cannot share a batch"):
        concatenate(parts)


@pytest.mark.parametrize("mos", [1e200, -1e39, 1e-200])
def test_labels_that_float32_does_not_hold_are_named(store: FeatureStore, mos: float) -> None:
    records = [RECORDS[0], replace(RECORDS[1], mos=mos)]
    with pytest.raises(ValueError, match=f"`mos` of 'v1' is {re.escape(str(mos))}, outside the range of float32"):
        load_batch(records, {"a": Demand(SMALL, "cached")}, store, OPTIONS)


def test_features_of_several_lengths_are_refused(store: FeatureStore) -> None:
    store.write("cached", "v1", torch.zeros(3, 5), {"reading": OPTIONS.key})
    with pytest.raises(ValueError, match=r"Features of branch `a` are \(3, 5\) for 'v1' but \(2, 5\) for 'v0'"):
        load_batch(RECORDS[:2], {"a": Demand(SMALL, "cached")}, store, OPTIONS)


def test_bad_features_are_all_named_when_the_set_is_opened(decoder: Decoder, store: FeatureStore) -> None:
    for i in (1, 2, 4, 5):
        store.path("cached", f"v{i}").write_bytes(b"no features")
    decoded = Demand(SMALL, None)
    for demands in ({"a": Demand(SMALL, "cached")}, {"a": Demand(SMALL, "cached"), "b": decoded}):
        with pytest.raises(
            ValueError, match=r"Features of 4 of 6 videos cannot be used \('v1', 'v2', 'v4', \.\.\.\): '.*v1"
        ):
            VideoDataset(RECORDS, [[0], [1]], demands, store, OPTIONS)
    assert decoder.calls == [], "before any decode"


@pytest.mark.parametrize("decoded", [False, True])
def test_bad_features_are_left_out_on_request(decoder: Decoder, store: FeatureStore, decoded: bool) -> None:
    store.path("cached", "v1").write_bytes(b"no features")
    demands = {"a": Demand(SMALL, "cached")} | ({"b": Demand(SMALL, None)} if decoded else {})
    items = [[0, 1, 2], [3, 4, 5], [1]]
    tested = VideoDataset(RECORDS, items, demands, store, OPTIONS, skip_broken=True)
    assert tested.broken_videos() == ["v1"]
    assert [tested[item].video_id for item in range(3)] == [["v0", "v2"], ["v3", "v4", "v5"], []]
    assert tested[0].features["a"][:, 0, 0].tolist() == [0.0, 2.0]
    trained = VideoDataset(RECORDS, items[:2], demands, store, OPTIONS, seed=0, videos_per_item=2, skip_broken=True)
    assert all(set(trained[epoch, 0].video_id) == {"v0", "v2"} for epoch in range(5))
    alone = VideoDataset(RECORDS, [[1]], demands, store, OPTIONS, seed=0, skip_broken=True)
    with pytest.raises(ValueError, match="No video of group 'g0' could be read"):
        alone[0, 0]
    for i in range(6):
        store.path("cached", f"v{i}").write_bytes(b"no features")
    with pytest.raises(ValueError, match="Features of 6 of 6 videos cannot be used"):
        VideoDataset(RECORDS, items, demands, store, OPTIONS, skip_broken=True)


def test_a_video_without_file_and_features_is_named() -> None:
    with pytest.raises(ValueError, match=r"'v' has no file, and the store lacks features of it for view"):
        load_batch([VideoRecord("v", None, "g", "r")], {"a": Demand(SMALL, "cached")}, None, OPTIONS)


def test_measured_values_come_from_the_store_or_are_asked_for(decoder: Decoder, store: FeatureStore) -> None:
    batch = load_batch(RECORDS[:2], {"a": Demand(None, "cached")}, store, OPTIONS)
    assert batch.features["a"].shape == (2, 2, 5)
    assert not batch.views
    with pytest.raises(ValueError, match=r"Branch `a` takes measured values, .* and there is no `data\.store`; run"):
        load_batch(RECORDS[:2], {"a": Demand(None, "cached")}, None, OPTIONS)
    demands = {"a": Demand(None, "other"), "b": Demand(SMALL, None)}
    with pytest.raises(ValueError, match=r"lacks 6 videos \(first: 'v0'\); run `cvqa extract --from-table"):
        VideoDataset(RECORDS, [[0, 1]], demands, store, OPTIONS)
    assert decoder.calls == [], "before any decode"


def test_a_broken_video_ends_the_run(decoder: Decoder) -> None:
    decoder.broken = {"v1.mp4"}
    with pytest.raises(ValueError, match=r"'v1\.mp4' is broken"):
        VideoDataset(RECORDS, [[0, 1]], {"a": Demand(SMALL, None)}, None, OPTIONS)[0]


def test_broken_videos_are_left_out_and_counted_on_request(decoder: Decoder) -> None:
    decoder.broken = {"v1.mp4", "v3.mp4"}
    data = VideoDataset(RECORDS, [[0, 1, 2], [3]], {"a": Demand(SMALL, None)}, None, OPTIONS, skip_broken=True)
    assert data[0].video_id == ["v0", "v2"]
    assert data.broken_videos() == ["v1"]
    decoder.calls.clear()
    assert data[0].video_id == ["v0", "v2"]
    assert "v1.mp4" not in [path for path, _ in decoder.calls]
    assert len(data[1]) == 0, "another piece of that group may be whole"


def test_training_draws_others_of_a_group_for_videos_that_cannot_be_read(decoder: Decoder) -> None:
    decoder.broken = {f"v{i}.mp4" for i in (0, 1, 2, 3)}
    for epoch in range(8):
        data = VideoDataset(
            RECORDS, [list(range(6))], {"a": Demand(SMALL, None)}, None, OPTIONS,
            videos_per_item=2, seed=0, skip_broken=True,
        )  # fmt: skip
        assert set(data[epoch, 0].video_id) <= {"v4", "v5"}
    decoder.broken = {f"v{i}.mp4" for i in range(6)}
    with pytest.raises(ValueError, match="No video of group 'g0' could be read"):
        data[9, 0]
    with pytest.raises(ValueError, match="No video of group 'g0' could be read"):
        data[10, 0]


def test_kept_draws_come_again_without_another_decode(decoder: Decoder) -> None:
    demands = {"a": Demand(RANDOM, None)}
    kept, fresh = (
        VideoDataset(RECORDS, [[0, 1, 2], [3, 4, 5]], demands, None, OPTIONS, seed=5, kept_draws=draws)
        for draws in (2, None)
    )
    epochs = [kept[epoch, 1].views[RANDOM.key] for epoch in range(6)]
    assert len(decoder.calls) == 6  # two draws of three videos
    assert all(torch.equal(epochs[epoch], epochs[epoch % 2]) for epoch in range(6))
    assert not torch.equal(epochs[0], epochs[1])
    for epoch in range(2):
        assert torch.equal(epochs[epoch], fresh[epoch, 1].views[RANDOM.key])


@pytest.mark.parametrize("kept", [None, 2])
def test_what_branches_draw_is_new_in_each_epoch_and_the_same_for_a_group(decoder: Decoder, kept: int | None) -> None:
    demands, items = {"a": Demand(RANDOM, None)}, [[0, 1, 2], [3, 4, 5]]
    training = VideoDataset(RECORDS, items, demands, None, OPTIONS, seed=5, kept_draws=kept)
    seeds = [training[epoch, item].seeds for epoch in range(6) for item in range(2)]
    assert all(found is not None and len(found) == 3 and len(set(found.tolist())) == 1 for found in seeds)
    assert len({int(found[0]) for found in seeds if found is not None}) == 12
    again = VideoDataset(RECORDS, items, demands, None, OPTIONS, seed=5)
    assert torch.equal(again[3, 1].seeds, training[3, 1].seeds)  # type: ignore[arg-type]
    apart = VideoDataset(RECORDS, items, demands, None, OPTIONS, seed=5, shared_views=False)
    assert len(set(apart[0, 0].seeds.tolist())) == 3  # type: ignore[union-attr]
    joined = concatenate([training[0, 0], training[0, 1]])
    assert joined.seeds.tolist() == [*seeds[0].tolist(), *seeds[1].tolist()]  # type: ignore[union-attr]
    assert joined.select(slice(2, 4)).to("cpu").seeds.tolist() == joined.seeds[2:4].tolist()  # type: ignore
    assert VideoDataset(RECORDS, items, demands, None, OPTIONS)[0].seeds is None


def test_seeds_take_nothing_from_what_views_draw(decoder: Decoder) -> None:
    data = VideoDataset(RECORDS, [[0]], {"a": Demand(RANDOM, None)}, None, OPTIONS, seed=5)
    rng = np.random.default_rng((5, 2, zlib.crc32(RECORDS[0].group.encode())))
    expected = load_batch(RECORDS[:1], data.demands, None, OPTIONS, [rng])
    assert torch.equal(data[2, 0].views[RANDOM.key], expected.views[RANDOM.key])
