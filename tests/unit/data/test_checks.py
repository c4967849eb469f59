"""Sets on which a run would never learn or never be judged are refused before it starts."""

from __future__ import annotations

import pytest

from cvqa_models.data.checks import check_spread
from cvqa_models.types import VideoRecord


def groups(*scores: list[float], weight: float = 1.0) -> list[VideoRecord]:
    return [
        VideoRecord(f"v{g}_{i}", None, f"g{g}", "r", mos=mos, weight=weight)
        for g, own in enumerate(scores)
        for i, mos in enumerate(own)
    ]


def test_a_set_without_an_order_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"None of the 2 train groups has 2 videos whose scores differ, so there is no"
    ):
        check_spread("train", groups([3.0, 3.0], [1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match=r"None of the 2 val groups has 3 videos .* `val/result` would be 0"):
        check_spread("val", groups([3.0, 4.0], [1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match=r"Every train group has a single video, which ranks nothing"):
        check_spread("train", groups([3.0], [1.0]))
    with pytest.raises(ValueError, match=r"None of the 0 train groups has 2 videos"):
        check_spread("train", groups([3.0, 4.0], weight=0.0))


def test_groups_that_do_not_count_beside_others_are_said(caplog: pytest.LogCaptureFixture) -> None:
    check_spread("train", groups([3.0, 4.0]))
    check_spread("val", groups([3.0, 4.0, 4.0]))
    assert not caplog.messages
    check_spread("train", groups([3.0, 4.0], [1.0, 1.0], [2.0]))
    assert caplog.messages == [
        "train: 2 of 3 groups do not count, having fewer than 2 videos or equal scores (first: 'g1')"
    ]
