"""Images, figures and videos: what was drawn is what is seen when the saved file is opened again."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import imageio_ffmpeg
import matplotlib
import numpy as np
import pytest
from PIL import Image

from ml_dash import Experiment
from ml_dash.errors import ConfigurationError, MissingExtraError

matplotlib.use("Agg")


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with Experiment("alice/files/media", dash_root=str(tmp_path / "root")).run as experiment:
        yield experiment


def fetched(experiment: Experiment, name: str) -> str:
    path = experiment.files(name).download()
    assert isinstance(path, str)
    return path


def pixels(experiment: Experiment, name: str) -> np.ndarray:
    with Image.open(fetched(experiment, name)) as image:
        return np.asarray(image)


def stored(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "root").rglob("_files/**/*") if path.is_file()]


RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4)


# --- images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)])
def test_bytes_are_pixels(experiment: Experiment, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    saved = experiment.files("images").save_image(array, to="a.png")
    assert saved["contentType"] == "image/png"
    assert np.array_equal(pixels(experiment, "a.png"), array.squeeze() if shape[-1] == 1 else array)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([[0.0, 0.5, 1.0]], [[0, 128, 255]]),
        ([[0, 7, 255]], [[0, 7, 255]]),
        ([[False, True, True]], [[0, 255, 255]]),
        ([[0.0, 5.0, 10.0]], [[0, 128, 255]]),
        ([[-1.0, 0.0, 1.0]], [[0, 128, 255]]),
        ([[0, 500, 1000]], [[0, 128, 255]]),
        ([[3.0, 3.0, 3.0]], [[0, 0, 0]]),
        ([[float("nan"), 0.0, 1.0]], [[0, 0, 255]]),
        ([[float("inf"), float("-inf"), 0.5]], [[255, 0, 128]]),
        ([[float("nan")] * 3], [[0, 0, 0]]),
    ],
)
def test_numbers_become_the_pixels_that_the_document_says(
    experiment: Experiment, array: list[Any], expected: list[Any]
) -> None:
    experiment.files.save_image(np.array(array), to="a.png")
    assert pixels(experiment, "a.png").tolist() == expected


def test_channels_may_come_first(experiment: Experiment) -> None:
    array = np.random.default_rng(2).integers(0, 256, (3, 6, 8), dtype=np.uint8)
    experiment.files.save_image(array, to="a.png")
    assert np.array_equal(pixels(experiment, "a.png"), np.moveaxis(array, 0, 2))


def test_a_depth_image_keeps_its_sixteen_bits(experiment: Experiment) -> None:
    depth = np.array([[0, 1, 40_000], [65_535, 256, 257]], dtype=np.uint16)
    experiment.files.save_image(depth, to="depth.png")
    assert np.array_equal(pixels(experiment, "depth.png"), depth)
    experiment.files.save_image(depth, to="depth.jpg")
    assert pixels(experiment, "depth.jpg").dtype == np.uint8


def test_jpeg_shows_transparency_on_white(experiment: Experiment) -> None:
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    experiment.files.save_image(clear, to="a.jpg")
    assert (pixels(experiment, "a.jpg") > 250).all()


def test_quality_counts(experiment: Experiment) -> None:
    array = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    small = experiment.files.save_image(array, to="a.jpg", quality=5)
    large = experiment.files.save_image(array, to="b.jpg")
    assert small["sizeBytes"] < large["sizeBytes"] / 3
    for quality in (0, 101):
        with pytest.raises(ValueError, match="quality"):
            experiment.files.save_image(array, to="c.jpg", quality=quality)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp"])
def test_pillow_images_of_every_mode_are_saved(experiment: Experiment, mode: str, ending: str) -> None:
    image = Image.new("RGB", (6, 4), "red").convert(mode)
    if (mode, ending) == ("LA", "bmp"):
        with pytest.raises(ValueError, match="BMP"):
            experiment.files.save(image, to=f"a.{ending}")
        return
    experiment.files.save(image, to=f"a.{ending}")
    assert pixels(experiment, f"a.{ending}").shape[:2] == (4, 6)


class Tensor:
    """What a tensor on a GPU that needs a gradient does."""

    def detach(self) -> Any:
        return self

    def cpu(self) -> np.ndarray:
        return RAMP


def test_tensors_are_images(experiment: Experiment) -> None:
    experiment.files.save_image(Tensor(), to="a.png")
    assert np.array_equal(pixels(experiment, "a.png"), RAMP)


@pytest.mark.parametrize(
    ("array", "to", "words"),
    [
        (np.zeros(5), "a.png", "no image"),
        (np.zeros((2, 3, 5)), "a.png", "no image"),
        (np.zeros((0, 3)), "a.png", "no image"),
        (np.array([["a"]]), "a.png", "no image"),
        (RAMP, "a", "no ending"),
        (RAMP, "a.xyz", "no image format"),
        (RAMP, "a.docx", "no image format"),
    ],
)
def test_what_is_no_image_is_refused(
    experiment: Experiment, tmp_path: Path, array: np.ndarray, to: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        experiment.files.save_image(array, to=to)
    assert experiment.files.list() == []
    assert stored(tmp_path) == []


# --- figures ------------------------------------------------------------------------------------------------


def test_a_figure_is_saved_and_closed(experiment: Experiment) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(2, 1))
    axes.plot([1, 2])
    saved = experiment.files("plots").save_fig(figure, to="a.png", dpi=50, metadata={"epoch": 3})
    assert saved["metadata"] == {"epoch": 3}
    assert pixels(experiment, "a.png").shape[:2] == (50, 100)
    assert not pyplot.fignum_exists(figure.number)


def test_the_current_figure_is_the_default(experiment: Experiment) -> None:
    from matplotlib import pyplot

    pyplot.figure()
    pyplot.plot([1, 2])
    experiment.files.save_fig(to="a.svg")
    assert "<svg" in experiment.files.read_text("a.svg")
    with pytest.raises(ValueError, match="none open"):
        experiment.files.save_fig(to="b.svg")


@pytest.mark.parametrize("ending", ["pdf", "png", "svg", "jpg", "eps"])
def test_save_knows_a_figure(experiment: Experiment, ending: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2])
    assert experiment.files.save(figure, to=f"a.{ending}")["sizeBytes"] > 1000


def test_what_is_no_figure_or_no_format_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    for figure, to, words in [(3, "a.png", "figure"), (Figure(), "a.xyz", "xyz"), (Figure(), "a", "no ending")]:
        with pytest.raises(ConfigurationError, match=words):
            experiment.files.save_fig(figure, to=to)
    assert stored(tmp_path) == []


# --- videos -------------------------------------------------------------------------------------------------

COLORS = np.zeros((4, 32, 48, 3), dtype=np.uint8)
for number, color in enumerate([(250, 5, 5), (5, 250, 5), (5, 5, 250), (250, 250, 5)]):
    COLORS[number] = color


def film(experiment: Experiment, name: str) -> tuple[np.ndarray, str]:
    """The frames of a film, and what ffmpeg says of it."""
    path = fetched(experiment, name)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(command, check=True, capture_output=True)
    said = read.stderr.decode()
    width, height = map(int, re.findall(r" (\d+)x(\d+)[, ]", said)[0])
    return np.frombuffer(read.stdout, np.uint8).reshape(-1, height, width, 3), said


@pytest.mark.parametrize("ending", ["mp4", "mov", "avi", "mkv", "webm"])
def test_a_film_shows_its_frames(experiment: Experiment, ending: str) -> None:
    experiment.files.save_video(COLORS, to=f"a.{ending}", fps=10)
    frames, said = film(experiment, f"a.{ending}")
    assert frames.shape == COLORS.shape
    assert np.abs(frames.mean(axis=(1, 2)) - COLORS[:, 0, 0]).max() < 40
    assert "10 fps" in said


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_shows_its_frames_at_their_rate(experiment: Experiment, ending: str) -> None:
    experiment.files.save_video(list(COLORS), to=f"a.{ending}", fps=20)
    with Image.open(fetched(experiment, f"a.{ending}")) as image:
        assert image.n_frames == 4
        image.seek(1)
        image.load()
        assert image.info["duration"] == 50
        assert np.abs(np.asarray(image.convert("RGB")).mean(axis=(0, 1)) - COLORS[1, 0, 0]).max() < 40


def test_grey_frames_of_odd_size_keep_their_size_to_a_pixel(experiment: Experiment) -> None:
    grey = [np.full((33, 47), value) for value in (0.0, 0.5, 1.0)]
    experiment.files.save_video(grey, to="a.mp4")
    frames, _ = film(experiment, "a.mp4")
    assert frames.shape == (3, 34, 48, 3)
    assert np.abs(frames.mean(axis=(1, 2, 3)) - [0, 128, 255]).max() < 4
    experiment.files.save_video(grey, to="a.gif")
    assert iio.imread(fetched(experiment, "a.gif")).shape[:3] == (3, 33, 47)


def test_the_frames_of_a_video_are_on_one_scale(experiment: Experiment) -> None:
    experiment.files.save_video([np.full((16, 16), value) for value in (0.0, 50.0, 100.0)], to="a.gif")
    shown = iio.imread(fetched(experiment, "a.gif")).reshape(3, -1)[:, 0].astype(int)
    assert np.abs(shown - [0, 128, 255]).max() <= 1


def test_other_keywords_go_to_imageio(experiment: Experiment) -> None:
    experiment.files.save_video(COLORS, to="a.avi", codec="mjpeg", fps=5)
    assert "mjpeg" in film(experiment, "a.avi")[1]


@pytest.mark.parametrize(
    ("frames", "to", "fps", "words"),
    [
        ([], "a.mp4", 20, "frame_stack is empty"),
        (np.zeros((0, 4, 4)), "a.gif", 20, "frame_stack is empty"),
        (3, "a.mp4", 20, "list or an array"),
        ([np.zeros((4, 4)), np.zeros((4, 6))], "a.mp4", 20, "differ in shape"),
        (COLORS, "a", 20, "no ending"),
        (COLORS, "a.mp4", 0, "fps"),
        (COLORS, "a.mp4", float("nan"), "fps"),
        (COLORS, "a.xyz", 20, "'.xyz'"),
    ],
)
def test_what_is_no_video_is_refused(
    experiment: Experiment, tmp_path: Path, frames: Any, to: str, fps: float, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        experiment.files.save_video(frames, to=to, fps=fps)
    assert experiment.files.list() == []
    assert stored(tmp_path) == []


def test_a_film_that_the_encoder_did_not_write_is_an_error(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="0 of 4 frames"):
        experiment.files.save_video(COLORS, to="a.mp4", codec="no-such-codec")
    assert stored(tmp_path) == []


# --- what is missing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("PIL.Image", lambda files: files.save_image(RAMP, to="a.png")),
        ("matplotlib.pyplot", lambda files: files.save_fig(to="a.png")),
        ("imageio.v2", lambda files: files.save_video(COLORS, to="a.mp4")),
        ("imageio_ffmpeg", lambda files: files.save_video(COLORS, to="a.mp4")),
        ("imageio.v3", lambda files: files.save_video(COLORS, to="a.gif")),
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, call: Any
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ml_dash\[media\]'") as caught:
        call(experiment.files)
    assert module.partition(".")[0] in str(caught.value)
    assert isinstance(caught.value, ImportError)
    assert stored(tmp_path) == []
