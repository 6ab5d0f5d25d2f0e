"""Faces found, followed and cut out as the published Sync-C and Sync-D do it, with any detector.

Shape legend: F frames, F' frames of a track, H W rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harmony_lit.containers import Clip
from harmony_lit.errors import UserError
from metrics.faces.base import CROP_FPS, FaceCrop, FaceSource
from metrics.faces.crop import GREY, MARGIN, MEDIAN_FRAMES, crop_track
from metrics.faces.detector import FaceDetector, Faces
from metrics.faces.shots import find_shots
from metrics.faces.tracks import Track, join_faces
from metrics.memo import once_per_clip
from metrics.rates import frames_at


@dataclass(frozen=True)
class TrackedFaces(FaceSource):
    """A crop for every face that is followed for long enough and is large enough.

    Protocols of published numbers, all with S3FD: ``original`` and ``latentsync`` below.

    Args:
        detector: Finds faces in single frames.
        min_track: A track is kept if its face was detected on more than this many frames.
        min_size_px: ... and if its mean width or height in the picture as stored exceeds this.
        cut_threshold: Least change of colour that ends a shot (see ``metrics.faces.shots``); no track crosses a cut.
        min_iou: Overlap that a face must exceed to go on a track.
        max_gap: Frames that may pass until it is seen again.
        stride: Every so many frames are searched for faces, and boxes interpolated between them. Published numbers
            search all of them; more is faster. A detection counts for ``stride`` frames.

    Raises:
        UserError: If tracks could be too short to be steadied, or would end before the next frame is searched.
    """

    detector: FaceDetector
    min_track: int = 100
    min_size_px: float = 100.0
    cut_threshold: float = 30.0
    min_iou: float = 0.5
    max_gap: int = 25
    stride: int = 1

    def __post_init__(self) -> None:
        if self.min_track < MEDIAN_FRAMES:
            raise UserError(
                f"min_track is {self.min_track}; positions are steadied over {MEDIAN_FRAMES} frames, so at least those"
            )
        if not 1 <= self.stride <= self.max_gap:
            raise UserError(
                f"stride is {self.stride}; it must be from 1 to max_gap ({self.max_gap}), or no face is followed"
            )

    @classmethod
    def original(cls, detector: FaceDetector) -> TrackedFaces:
        """``run_pipeline.py`` of joonson/syncnet_python: tracks of more than 100 frames."""
        return cls(detector, min_track=100, cut_threshold=30.0)

    @classmethod
    def latentsync(cls, detector: FaceDetector) -> TrackedFaces:
        """``eval/syncnet_detect.py`` of bytedance/LatentSync, and MoChaBench: tracks of more than 50 frames.

        The threshold of cuts is that of the release of PySceneDetect that it asks for (0.6.1; the original: 0.5.1).
        """
        return cls(detector, min_track=50, cut_threshold=27.0)

    def describe(self) -> str:
        """See the base."""
        searched = "every frame" if self.stride == 1 else f"one frame in {self.stride}"
        return (
            f"{self.detector.describe()} on {searched} at 25 fps; cuts where HSV changes by {self.cut_threshold:g}; "
            f"tracks of IoU > {self.min_iou:g} and gaps <= {self.max_gap} frames, kept if detected on more than "
            f"{self.min_track} frames and larger than {self.min_size_px:g} px; crops from s above "
            f"to {1 + 2 * MARGIN:g} s below and {1 + MARGIN:g} s beside the centre of the box, s half its longer side, "
            f"medians over {MEDIAN_FRAMES}, padded with {GREY}"
        )

    def missing(self) -> str | None:
        """See the base."""
        return self.detector.missing()

    def crops(self, clip: Clip, size: int) -> list[FaceCrop]:
        """See the base."""
        return _crops(clip, self, size)

    def tracks(self, clip: Clip) -> list[Track]:
        """The tracks that are kept."""
        return [track for track in self.all_tracks(clip) if self.keeps(track)]

    def all_tracks(self, clip: Clip) -> list[Track]:
        """Every track, kept or not, shot by shot; frames are those at 25 fps."""
        found = _faces(clip, self.detector, self.stride)
        return [
            track
            for shot in find_shots(frames_at(clip, CROP_FPS), self.cut_threshold)
            for track in join_faces({i: found[i] for i in shot if i in found}, self.min_iou, self.max_gap)
        ]

    def keeps(self, track: Track) -> bool:
        """Whether a track is long and large enough."""
        frames_seen = min(track.detections * self.stride, len(track))
        return frames_seen > self.min_track and track.size_px > self.min_size_px


@once_per_clip
def _crops(clip: Clip, source: TrackedFaces, size: int) -> list[FaceCrop]:
    video = frames_at(clip, CROP_FPS)
    return [FaceCrop(crop_track(video, track, size), track.first_frame) for track in source.tracks(clip)]


@once_per_clip
def _faces(clip: Clip, detector: FaceDetector, stride: int) -> dict[int, Faces]:
    """Faces by frame at 25 fps, for every ``stride``-th frame."""
    video: Tensor = frames_at(clip, CROP_FPS)
    return dict(zip(range(0, len(video), stride), detector.detect(video[::stride]), strict=True))
