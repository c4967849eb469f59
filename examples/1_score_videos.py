"""Score videos and name the worst second of each.

python examples/1_score_videos.py film.mp4 https://example.org/other.mkv
"""

import sys

import cvqa_models

scorer = cvqa_models.load("compression_level")
for video in sys.argv[1:]:
    score = scorer(video, seconds=True)
    worst = min(score.seconds)
    when = score.seconds.index(worst)
    print(f"{video}: {score.value:.1f}, worst second {when + 1} of {len(score.seconds)}: {worst:.1f}")
