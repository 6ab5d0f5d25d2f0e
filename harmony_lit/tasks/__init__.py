"""Cross-Task Synergy: joint, audio-driven and video-driven training in one run."""

from harmony_lit.tasks.base import AudioDriven, AudioOnly, Joint, Noise, Task, TaskLoss, VideoDriven
from harmony_lit.tasks.mixture import MixtureLoss, SampledTask, SumOfTasks, TaskMixture
from harmony_lit.tasks.timesteps import IndependentTimesteps, LogitNormal, SharedTimesteps, Timesteps, Uniform

__all__ = [
    "AudioDriven",
    "AudioOnly",
    "IndependentTimesteps",
    "Joint",
    "LogitNormal",
    "MixtureLoss",
    "Noise",
    "SampledTask",
    "SharedTimesteps",
    "SumOfTasks",
    "Task",
    "TaskLoss",
    "TaskMixture",
    "Timesteps",
    "Uniform",
    "VideoDriven",
]
