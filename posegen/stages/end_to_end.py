"""The end-to-end baseline: colour encoders that are trained from scratch, together with the generator (Section 4.5)."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor, nn

from posegen.samples import Batch
from posegen.stages.video_generator import VideoGenerator
from posegen.stages.video_stage import VideoStage


class EndToEnd(VideoStage):
    """Stage II without stage I: the losses of the video are all that the encoders learn from, and z is their mean."""

    name = "end_to_end"

    @dataclass(frozen=True, kw_only=True)
    class Config(VideoStage.Config):
        """Settings of the end-to-end baseline."""

    config: EndToEnd.Config

    def generating_parameters(self) -> list[nn.Parameter]:
        return [*self.generator.parameters(), *self.encoders.parameters()]

    def codes(self, batch: Batch) -> Tensor:
        return self.encode(batch["content"])


EndToEnd.presets = {
    # What is compared differs in one thing: every setting that both have is the method's.
    name: EndToEnd.Config(**{field.name: getattr(preset, field.name) for field in fields(EndToEnd.Config)})
    for name, preset in VideoGenerator.presets.items()
}
