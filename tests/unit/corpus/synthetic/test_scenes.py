import numpy as np
import pytest

from cvqa_models.corpus.synthetic import scenes
from cvqa_models.corpus.synthetic.scenes import (
    PHOTOGRAPHS,
    SCENES,
    Box,
    Mover,
    Scene,
    random_scenes,
    read_photograph,
    render,
)

STILL = Scene("still", "cat", Box(0.5, 0.5, 0.7), Box(0.5, 0.5, 0.7))


def _clip(scene: Scene, frames: int = 4, seed: int = 0) -> np.ndarray:
    return np.stack(list(render(scene, 48, 64, frames, seed))).astype(int)


def test_the_packaged_scenes_are_many_and_different() -> None:
    assert len(SCENES) >= 8
    assert len({scene.name for scene in SCENES}) == len({scene.photograph for scene in SCENES}) == len(SCENES)
    clips = [_clip(scene, 3) for scene in SCENES]
    assert all(clip.shape == (3, 48, 64, 3) for clip in clips)
    temporal = [abs(np.diff(clip, axis=0)).mean() for clip in clips]
    spatial = [abs(np.diff(clip, axis=2)).mean() for clip in clips]
    assert max(temporal) > 4 * min(temporal)
    assert max(spatial) > 4 * min(spatial)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_in_colour_and_at_hand(name: str) -> None:
    clip = _clip(Scene(name, name, Box(0.5, 0.5, 0.9), Box(0.5, 0.5, 0.9)), 1)
    assert clip.std() > 10


def test_a_still_camera_gives_equal_frames_and_a_pan_shifts_them() -> None:
    still = _clip(STILL)
    assert (still == still[0]).all()
    width = 0.7 * 400 / 451  # of the field of view in the photograph, 451x300, picture 4:3
    pan = Scene("pan", "cat", Box(0.5, 0.5, 0.7), Box(0.5 + 8 / 64 * width, 0.5, 0.7))
    first, last = _clip(pan, 2)
    assert abs(last[:, :-8] - first[:, 8:]).mean() < 0.2 * abs(last - first).mean()


@pytest.mark.parametrize(
    "changed",
    [
        Scene("turn", "cat", STILL.start, STILL.end, turn=20),
        Scene("zoom", "cat", STILL.start, Box(0.5, 0.5, 0.5)),
        Scene("shake", "cat", STILL.start, STILL.end, shake=0.02),
        Scene("mover", "cat", STILL.start, STILL.end, movers=(Mover("flower", 0.2, (0.2, 0.2), (1, 0.8)),)),
    ],
)
def test_each_motion_moves(changed: Scene) -> None:
    first, *_, last = _clip(changed)
    assert abs(last - first).mean() > 0.5


def test_grain_has_its_deviation_and_is_new_in_each_frame() -> None:
    noise = _clip(Scene("grain", "cat", STILL.start, STILL.end, grain=3.0)) - _clip(STILL)
    assert noise.std() == pytest.approx(3, rel=0.05)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_parallax_moves_near_rows_further() -> None:
    flat = Scene("p", "cat", Box(0.45, 0.5, 0.6), Box(0.5, 0.5, 0.6))
    deep = Scene("p", "cat", Box(0.45, 0.5, 0.6), Box(0.5, 0.5, 0.6), parallax=0.8)
    difference = abs(_clip(flat, 2)[1] - _clip(deep, 2)[1]).mean((1, 2))
    assert difference[24] < 0.3 * difference[-1]


def test_the_same_seed_gives_the_same_pictures_and_scenes() -> None:
    grainy = Scene("grain", "cat", STILL.start, STILL.end, grain=3.0)
    assert (_clip(grainy, seed=4) == _clip(grainy, seed=4)).all()
    assert (_clip(grainy, seed=4) != _clip(grainy, seed=5)).any()
    assert random_scenes(5, seed=1) == random_scenes(5, seed=1)
    assert random_scenes(5, seed=1) != random_scenes(5, seed=2)
    assert _clip(random_scenes(3, seed=7)[2], 2).shape == (2, 48, 64, 3)


def test_a_photograph_of_a_package_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scenes.PHOTOGRAPHS, "moon", ("absent_package", "data/moon.png"))
    with pytest.raises(ValueError, match=r"'moon' comes with the package absent_package, .* `cvqa_models\[build\]`"):
        read_photograph("moon")
