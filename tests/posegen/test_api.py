"""`import posegen as pg`: what the library gives is what the command line writes."""

from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import posegen as pg
from orchestration.cli import main as cli
from posegen.inference.requested_motions import SHIPPED_RUN, load_generator
from posegen.io.images import write_picture
from posegen.io.video_reader import read_image, read_video
from posegen.synthetic.studio import RenderSettings, render_action

SMALL = {"size": "192x128", "frames": 6}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "bruno.png"
    write_picture(path, render_action("bruno", "wave_one_hand", 8, RenderSettings(size=(384, 256))).images[0])
    return path


def test_every_public_name_is_there_and_documented():
    assert sorted(pg.__all__) == pg.__all__ == dir(pg)
    for name in set(pg.__all__) - {"__version__"}:
        assert getattr(pg, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'rendr'"):
        _ = pg.rendr


def test_importing_the_package_loads_no_library():
    code = "import posegen, sys; assert not {'torch', 'numpy', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_photo_is_rendered_as_by_the_command(photo, tmp_path):
    video = pg.load().render(photo, action="wave", upper="teal", **SMALL)
    by_command = tmp_path / "command.mp4"
    command = f"animate {photo} --action wave --upper teal --size 192x128 --frames 6 --out {by_command}"
    cli.main(command.split())
    by_library = video.save(tmp_path / "library.mp4")
    assert by_library.read_bytes() == by_command.read_bytes()
    assert len(video) == 6 and video.fps > 0 and video.notes[0].startswith("upper: teal is #")


def test_frames_are_drawn_anew_each_time(photo):
    video = pg.load().render(photo, action="wave", **SMALL)
    frames = video.numpy()
    assert frames.shape == (6, 192, 128, 3) and frames.dtype == np.uint8
    assert (frames == np.stack(list(video))).all() and (video.still() == frames[0]).all()


def test_options_are_as_python_has_them(photo):
    video = pg.load().render(photo, action="wave", size=(192, 128), frames=2)
    assert video.numpy().shape == (2, 192, 128, 3)
    with pytest.raises(pg.PosegenError, match="a photo takes no option 'tint', expected one of action, actions, actor"):
        pg.load().render(photo, action="wave", tint="teal")
    with pytest.raises(pg.PosegenError, match="got size '5x5', expected HEIGHTxWIDTH"):
        pg.load().render(photo, action="wave", size=(5, 5))


def test_a_notebook_shows_the_video(photo, monkeypatch):
    video = pg.load().render(photo, action="wave", **SMALL)
    assert video._repr_html_().startswith('<video controls loop src="data:video/mp4;base64,')
    monkeypatch.setattr("posegen.api._INLINE_FRAMES", 5)
    assert '<img src="data:image/png;base64,' in video._repr_html_()


def test_no_file_is_lost(photo, tmp_path):
    video = pg.load().render(photo, action="wave", **SMALL)
    out = tmp_path / "new" / "wave.mp4"
    video.save(out)
    with pytest.raises(pg.PosegenError, match="is there already"):
        video.save(out)
    video.save(out, overwrite=True)
    led = pg.load().render(photo, poses=out, size="192x128")
    with pytest.raises(pg.PosegenError, match="is read"):
        led.save(out, overwrite=True)
    with pytest.raises(pg.PosegenError, match=r"written as \.mp4"):
        video.save(tmp_path / "wave.avi")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action": "wavee"}, "unknown action 'wavee'"),
        ({"action": "wave", "uper": "teal"}, r"takes no option 'uper' \(did you mean upper\?\)"),
        ({"action": "wave", "exact_color": True}, "a photo takes no option 'exact_color'"),
        ({"action": "wave", "garments": "parser"}, "a photo takes no option 'garments'"),
        ({"action": "wave", "upper": "teel"}, "teel"),
        ({}, "no motion given, expected one of action, actions, motion and poses"),
        ({"action": "wave", "upper": (42, 111)}, r"got upper \(42, 111\), expected a colour such as 'teal', '#2a6fdb'"),
        ({"action": "wave", "upper": (42, 111, 256)}, r"got upper \(42, 111, 256\), expected a colour"),
        ({"action": "wave", "lower_to": np.zeros((2, 2))}, "got lower_to array.*, expected a colour"),
        ({"action": ["wave", "kick"]}, r"got action \['wave', 'kick'\], expected .*actions=\[…\]"),
        ({"action": "wave, kick"}, r"expected the name of one such as 'wave': give several in a row as actions="),
        ({"action": 3}, "got action 3, expected the name of one such as 'wave'$"),
        ({"actions": 3}, "got actions 3, expected a list of names"),
        ({"actions": ["wave", 3]}, "got actions 3, expected a text"),
        ({"action": "wave", "size": 512}, r"got size 512, expected height and width such as '384x256' or \(384, 256\)"),
        ({"action": "wave", "size": (5,)}, r"got size \(5,\), expected height and width"),
        ({"action": "wave", "frames": "10"}, "got frames '10', expected a whole number"),
        ({"action": "wave", "frames": True}, "got frames True, expected a whole number"),
        ({"action": "wave", "fps": "25"}, "got fps '25', expected a number"),
        ({"action": "wave", "travel": "far"}, "got travel 'far', expected 'fit' or 'full'"),
        ({"action": "wave", "page": 1}, "got page 1, expected True or False"),
        ({"motion": 3}, "got motion 3, expected the name of a file"),
        ({"action": "wave", "sample": "prior", "samples": 3}, "got 3 samples, expected 1"),
    ],
)
def test_mistakes_are_one_line(photo, options, message):
    with pytest.raises(pg.PosegenError, match=message) as error:
        pg.load().render(photo, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (3, "got photo 3, expected the name of a file, a uint8 array"),
        (
            np.zeros((8, 8, 3)),
            r"got a photo of shape \(8, 8, 3\) and float64, expected the name of a file, a uint8 array",
        ),
        (np.zeros((8, 8), np.uint8), r"got a photo of shape \(8, 8\) and uint8, expected"),
    ],
)
def test_what_is_no_photo_is_one_line(content, message):
    for render in (lambda: pg.load().render(content, action="wave"), lambda: pg.colorways(content, upper="teal")):
        with pytest.raises(pg.PosegenError, match=message):
            render()


def test_a_photo_may_be_an_array_or_a_picture(photo):
    pixels = read_image(photo, size=None).images[0]
    expected = pg.load().render(photo, action="wave", upper="#2a6fdb", **SMALL).still()
    for content in (pixels, Image.fromarray(pixels)):
        video = pg.load().render(content, action="wave", upper=(42, 111, 219), lower=None, **SMALL)
        assert (video.still() == expected).all()


def test_one_text_counts_as_one_of_several(photo):
    assert len(pg.load().render(photo, actions="wave", **SMALL)) == 6
    assert len(pg.colorways(photo, upper="teal").reports) == len(pg.colorways(photo, upper=(0, 128, 128)).reports) == 1


def test_load_says_where_photos_go(photo):
    with pytest.raises(pg.PosegenError, match=r"photos and videos go to pg\.load\(\)\.render\('.*bruno\.png', …\)"):
        pg.load(photo)
    with pytest.raises(pg.PosegenError, match="got run 3, expected the name of a file"):
        pg.load(3)


def test_actions_are_those_that_can_be_rendered(photo):
    assert "wave" in pg.actions() and pg.actions() == tuple(sorted(pg.actions()))
    with pytest.raises(pg.PosegenError, match="unknown action 'swin'"):
        pg.load().render(photo, action="swin", **SMALL)
    shipped = load_generator(SHIPPED_RUN).config.actions
    assert pg.actions() == tuple(shipped)


def test_colorways_draw_the_sheet_of_the_command(photo, tmp_path):
    sheet = pg.colorways(photo, upper=["teal", "keep"])
    assert repr(sheet).endswith("pixels, 1 recoloured garments)")
    cli.main(["colorways", str(photo), "--upper", "teal", "keep", "--out", str(tmp_path / "command.png")])
    saved = sheet.save(tmp_path / "library.png")
    assert (read_image(saved, size=None).images == read_image(tmp_path / "command.png", size=None).images).all()
    assert [report.garment for _, report in sheet.reports] == ["upper"]
    with pytest.raises(pg.PosegenError, match="is read"):
        sheet.save(photo, overwrite=True)


def test_a_run_is_rendered_as_by_the_command(untrained_run, two_people, tmp_path):
    renderer = pg.load(untrained_run, dataset=two_people)
    clip = renderer.dataset.clips[0]
    name = f"{clip.info.person}/{clip.info.action}"
    video = renderer.render(name, action="wave", upper="teal", frames=5)
    out = tmp_path / "command.mp4"
    command = f"animate {untrained_run} --content {name} --dataset {two_people} --action wave --upper teal --frames 5"
    cli.main([*command.split(), "--out", str(out)])
    assert video.save(tmp_path / "library.mp4").read_bytes() == out.read_bytes()
    with pytest.raises(pg.PosegenError, match="got photo 3, expected the name of a file"):
        renderer.render(3, action="wave")
    followed = renderer.render(name, poses=name)
    assert followed.numpy().shape == (len(clip.keypoints), *renderer.size, 3)
    with pytest.raises(pg.PosegenError, match="a run takes no option 'size'"):
        renderer.render(name, action="wave", size="192x128")


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(pg.PosegenError, match=str(tmp_path)):
        pg.load(tmp_path)


def test_saved_videos_are_read_back(photo, tmp_path):
    video = pg.load().render(photo, action="wave", **SMALL)
    assert read_video(video.save(tmp_path / "x.mp4"), size=None).images.shape == (6, 192, 128, 3)


def test_examples_of_docstrings_run(photo, tmp_path, monkeypatch):
    """In a folder with the photo that they name."""
    monkeypatch.chdir(tmp_path)
    write_picture(tmp_path / "ann.jpg", read_image(photo, size=None).images[0])
    texts = (pg.__doc__, pg.PhotoRenderer.render.__doc__, pg.colorways.__doc__)
    written = []
    for text in texts:
        examples = doctest.DocTestParser().get_examples(text or "")
        assert examples, text
        exec("".join(example.source for example in examples), {"pg": pg})
        written.append(sorted(path.name for path in tmp_path.iterdir() if path.name != "ann.jpg"))
        for name in written[-1]:
            (tmp_path / name).unlink()
    assert written == [["wave.mp4"], ["wave.mp4"], ["sheet.png"]]
