"""Draw the landmarks of a face with their numbers, for docs/landmarks.md.

    python docs/tools/draw_landmarks.py manifests/demo/speaking.mp4 docs/images/landmarks.jpg

In: a video, of whose first frame the main subject's face is drawn, enlarged. Out: a picture. The names in it
are those of the default engines' landmarks.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

import facecap_batch
from facecap_batch.exporting.preview import matched_frames

SIDE = 1100  # pixels of the picture
MARGIN = 1.25  # of the picture over the longer side of the landmarks' bounds
POINT, NUMBER, OUTLINE = (90, 255, 120), (255, 255, 120), (24, 24, 28)  # RGB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video")
    parser.add_argument("output")
    given = parser.parse_args()
    table = facecap_batch.capture(given.video, landmarks=True).raw
    row, image = next(iter(matched_frames(given.video, table, [int(np.flatnonzero(table.face_found)[0])])))
    points = table.landmarks[row].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = SIDE / (MARGIN * float((high - low).max()))
    shift = SIDE / 2 - scale * (low + high) / 2
    drawn = cv2.warpAffine(
        image, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), (SIDE, SIDE), flags=cv2.INTER_CUBIC
    )
    for number, (x, y) in enumerate(scale * points + shift):
        cv2.circle(drawn, (round(x), round(y)), 4, POINT, -1, cv2.LINE_AA)
        for colour, thick in ((OUTLINE, 3), (NUMBER, 1)):
            cv2.putText(drawn, str(number), (round(x) + 5, round(y) - 4), 0, 0.45, colour, thick, cv2.LINE_AA)
    cv2.imwrite(given.output, cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
