"""Drawing videos with a stage that need not be trained for it."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.color.lab import rgb_to_lab
from posegen.errors import ConfigError
from posegen.inference.person import Person, worn_color
from posegen.inference.video_synthesizer import VideoSynthesizer, interpolate_codes
from posegen.metrics.color import mean_ab, mean_change, share_of_way
from posegen.perception.layered_frame import LayeredContent
from posegen.samples import to_image
from posegen.stages import VideoGenerator
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (96, 64)


@pytest.fixture(scope="module")
def clip():
    return render_action("grace", "salute", 5, RenderSettings(size=SIZE))


@pytest.fixture(scope="module")
def content(clip):
    return Person(clip.images[0], clip.keypoints[0], clip.edges[0], clip.masks[0])


@pytest.fixture(scope="module", params=["none", "parts", "layered"])
def synthesizer(request):
    torch.manual_seed(0)
    tiny = VideoGenerator.presets["tiny"]
    config = replace(tiny, generator_width=4, num_blocks=1, encoder_width=4, appearance=request.param)
    return VideoSynthesizer(VideoGenerator(config), SIZE, torch.device("cpu"))


def render(synthesizer, content, poses, z=None):
    return np.stack(list(synthesizer.frames(content, poses, z)))


def test_a_frame_for_every_pose(synthesizer, content, clip):
    frames = render(synthesizer, content, clip.keypoints)
    assert frames.shape == clip.images.shape and frames.dtype == np.uint8
    np.testing.assert_array_equal(render(synthesizer, content, clip.keypoints), frames)


def test_frames_come_one_by_one(synthesizer, content, clip):
    """The state is carried: the first frames do not depend on how many follow."""
    np.testing.assert_array_equal(
        render(synthesizer, content, clip.keypoints[:2]), render(synthesizer, content, clip.keypoints)[:2]
    )


def test_bf16_draws_nearly_the_same(synthesizer, content, clip, monkeypatch):
    monkeypatch.setattr("posegen.networks.device._cpu_has_bf16", lambda: True)  # slow where it lacks it, but right
    half = VideoSynthesizer(synthesizer.stage, SIZE, torch.device("cpu"), "bf16")
    z = synthesizer.encode(content.image)
    assert torch.equal(half.encode(content.image), z)
    whole, rounded = render(synthesizer, content, clip.keypoints), render(half, content, clip.keypoints)
    difference = np.abs(whole.astype(int) - rounded)
    assert 0 < difference.mean() < 2
    rolled = half.roll_out(content, clip.keypoints, z[None])
    assert rolled.dtype == torch.float32
    np.testing.assert_array_equal(rounded, np.stack([to_image(image) for image in rolled[0]]))


def test_bf16_is_refused_where_the_processor_lacks_it(synthesizer, monkeypatch):
    monkeypatch.setattr("posegen.networks.device._cpu_has_bf16", lambda: False)
    with pytest.raises(ConfigError, match="no bf16 arithmetic"):
        VideoSynthesizer(synthesizer.stage, SIZE, torch.device("cpu"), "bf16")


def test_a_code_for_every_frame(synthesizer, content, clip):
    z = torch.zeros(8), torch.full((8,), 5.0)
    codes = torch.stack([z[0], z[0], z[1], z[1], z[1]])
    mixed, plain = (render(synthesizer, content, clip.keypoints, code) for code in (codes, z[0]))
    np.testing.assert_array_equal(mixed[:2], plain[:2])
    assert (mixed[2:] != plain[2:]).any()


def test_size_of_the_content_is_checked(synthesizer, content, clip):
    small = replace(content, image=content.image[:64])
    with pytest.raises(ValueError, match=r"content image is \(64, 64\), the run was trained at \(96, 64\)"):
        render(synthesizer, small, clip.keypoints)


def test_clips_of_a_batch_are_rendered_as_alone(synthesizer, content, clip):
    codes = [torch.zeros(8), torch.full((3, 8), 2.0)]
    together: list[list[np.ndarray]] = [[], []]
    for frames in synthesizer.clips(content, [clip.keypoints, clip.keypoints[2:]], codes):
        for number, frame in frames.items():
            together[number].append(frame)
    assert list(map(len, together)) == [5, 3]
    for frames, poses, code in zip(together, (clip.keypoints, clip.keypoints[2:]), codes, strict=True):
        alone = render(synthesizer, content, poses, code)
        assert np.abs(np.stack(frames).astype(int) - alone).max() <= 1  # convolutions of a batch round otherwise


def test_roll_out_is_what_frames_renders(synthesizer, content, clip):
    codes = torch.stack([torch.zeros(8), torch.full((8,), 2.0)])
    tensors = synthesizer.roll_out(content, clip.keypoints[:2], codes)
    assert tensors.shape == (2, 2, 3, *SIZE)
    for tensor, code in zip(tensors, codes, strict=True):
        alone = render(synthesizer, content, clip.keypoints[:2], code)
        np.testing.assert_allclose((tensor.permute(0, 2, 3, 1) + 1) * 127.5, alone, atol=1.01)


def test_memory_does_not_grow_with_length(synthesizer, content, clip):
    """What lives after 40 frames is no more than after 10."""
    frames = synthesizer.frames(content, np.tile(clip.keypoints, (8, 1, 1)))
    tracemalloc.start()
    used, tensors = [], []
    for count in (10, 30):
        while count > 0:
            next(frames)
            count -= 1
        gc.collect()
        used.append(tracemalloc.get_traced_memory()[0])
        tensors.append(sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()))
    tracemalloc.stop()
    assert tensors[1] == tensors[0]
    assert used[1] - used[0] < 2 * np.prod(SIZE) * 3  # bytes: two frames


def test_a_garment_is_shown_as_it_is_until_another_color_is_asked_for(content, clip):
    """Layered, and of each garment by itself."""
    torch.manual_seed(0)
    tiny = VideoGenerator.presets["tiny"]
    config = replace(tiny, generator_width=4, num_blocks=1, encoder_width=4, appearance="layered")
    synthesizer = VideoSynthesizer(VideoGenerator(config), SIZE, torch.device("cpu"))
    frame = LayeredContent.of(content.image, content.keypoints, content.mask)
    shown = np.stack([frame.show(pose) for pose in clip.keypoints])
    garments = np.stack([frame.show_garments(pose) for pose in clip.keypoints]) == 255  # (T, H, W, 2)
    assert (garments.sum(axis=(0, 1, 2)) > 50).all()
    own = synthesizer.encode(content.image)
    upper = own + torch.tensor([1.0] * 4 + [0.0] * 4)
    for z, unchanged in ((None, (True, True)), (upper, (False, True)), (own + 1, (False, False))):
        frames = render(synthesizer, content, clip.keypoints, z)
        for garment, kept in enumerate(unchanged):
            here = garments[..., garment]
            assert (frames[here] == shown[here]).all() == kept
        assert (frames != shown).any(axis=-1)[~garments.any(axis=-1)].mean() > 0.5  # the generator draws elsewhere


def test_recolor_predicts_the_code_of_one_garment(synthesizer):
    book = synthesizer.codebook("upper")
    lab = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) * 100
    book.fit(lab @ torch.eye(3, 4) / 100, lab)
    z = synthesizer.recolor(torch.zeros(8), {"upper": (50.0, 20.0, 80.0)})
    torch.testing.assert_close(z[:4], torch.tensor([0.5, 0.2, 0.8, 0]), atol=0.01, rtol=0)
    torch.testing.assert_close(z[4:], torch.zeros(4))
    with pytest.raises(ValueError, match="trained on no recoloured frames"):
        synthesizer.recolor(torch.zeros(8), {"lower": (50.0, 20.0, 80.0)})


def test_worn_colors(content):
    truth = render_action("grace", "salute", 1, RenderSettings(size=SIZE)).garments[0]
    for number, region in enumerate(("upper", "lower")):
        expected = rgb_to_lab(content.image[truth == number + 1]).mean(0)
        np.testing.assert_allclose(worn_color(content, region), expected, atol=4)


def test_a_garment_that_is_not_seen(content):
    hidden = replace(content, mask=np.zeros_like(content.mask))
    with pytest.raises(ValueError, match="no lower garment is seen in the content image"):
        worn_color(hidden, "lower")


def test_interpolation_is_the_papers():
    """(1 − i/N) z1 + (i/N) z2 for i = 1..N: never z1 itself, z2 at the end (Section 4.4)."""
    codes = interpolate_codes(torch.zeros(2), torch.tensor([4.0, 8.0]), 4)
    torch.testing.assert_close(codes, torch.tensor([[1.0, 2], [2, 4], [3, 6], [4, 8]]))


def test_color_measures():
    before, after, target = np.array([0.0, 0]), np.array([5.0, 3]), np.array([10.0, 0])
    assert share_of_way(before, after, target) == pytest.approx(0.5)
    assert share_of_way(before, -after, target) == pytest.approx(-0.5)
    gray = np.full((2, 4, 4, 3), 128, np.uint8)
    red = gray.copy()
    red[:, :2] = (255, 0, 0)
    top = np.zeros((2, 4, 4), bool)
    top[:, :2] = True
    np.testing.assert_allclose(mean_ab(red, top), [80.09, 67.20], atol=0.05)
    assert mean_change(gray, red, ~top) == 0 and mean_change(gray, red, top) > 20
