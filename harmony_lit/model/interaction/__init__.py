"""Cross-modal interaction: the paper's Global-Local Decoupled Interaction, its ablations, and Ovi's fusion."""

from harmony_lit.model.interaction.alignment import Alignment, NoAlignment, RatioAlignment, SecondsAlignment
from harmony_lit.model.interaction.base import Interaction, InteractionDims, Timeline
from harmony_lit.model.interaction.frame_wise import FrameWiseInteraction
from harmony_lit.model.interaction.global_ import GlobalInteraction
from harmony_lit.model.interaction.ovi import OviFusion
from harmony_lit.model.interaction.style import GlobalStyle

__all__ = [
    "Alignment",
    "FrameWiseInteraction",
    "GlobalInteraction",
    "GlobalStyle",
    "Interaction",
    "InteractionDims",
    "NoAlignment",
    "OviFusion",
    "RatioAlignment",
    "SecondsAlignment",
    "Timeline",
]
