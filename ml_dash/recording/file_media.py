"""Images, figures and videos as file content, through Pillow, matplotlib and imageio.

The libraries are optional, `pip install 'ml_dash[media]'`, and load when they are first needed.

An array becomes pixels as follows: `uint8` stands as it is, booleans are black and white, floats within 0…1 and
integers within 0…255 are taken for what they say, anything else is scaled so that its least value is black and its
greatest white; NaN is black.  A grey `uint16` array keeps its 16 bits in PNG and TIFF.  The frames of a video
are scaled together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from os import fsync
from os.path import getsize, splitext
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import ConfigurationError, MissingExtraError
from .extras import optional

if TYPE_CHECKING:
    import numpy

MEDIA = "ml_dash[media]"
_WITH_QUALITY = {"JPEG", "WEBP", "AVIF"}
_SIXTEEN_BITS = {"PNG", "TIFF"}
_ANIMATED_IMAGES = {".gif", ".webp", ".png", ".apng"}


def ending_of(target: str, purpose: str) -> str:
    """The ending of a name, with its dot, in lower case.  Raises ConfigurationError where there is none."""
    ending = splitext(target)[1].lower() if isinstance(target, str) else ""
    if not ending:
        raise ConfigurationError(
            f"the target {target!r} has no ending that says the format. Expected one such as {purpose!r}"
        )
    return ending


# --- images -------------------------------------------------------------------------------------------------


def write_image(file: BinaryIO, content: Any, target: str, quality: int) -> None:
    """An array (height × width, with 1, 3 or 4 channels last or first), a tensor or a Pillow image."""
    image_module = optional("PIL.Image", MEDIA, "saving images")
    ending = ending_of(target, "plot.png")
    image_format = image_module.registered_extensions().get(ending)
    if image_format is None or image_format not in image_module.SAVE:
        raise ConfigurationError(
            f"no image format has the ending {ending!r}. Expected one such as '.png', '.jpg', '.webp'"
        )
    if not 1 <= quality <= 100:
        raise ConfigurationError(f"quality={quality!r} is not within 1 … 100")
    image = content if isinstance(content, image_module.Image) else _image(image_module, content, image_format)
    if image_format == "JPEG":
        image = _opaque(image_module, image)
    options = {"quality": quality} if image_format in _WITH_QUALITY else {}
    try:
        image.save(file, format=image_format, **options)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ConfigurationError(
            f"this image, of mode {image.mode}, cannot be saved as {image_format}: {error}"
        ) from error


def _image(image_module: Any, content: Any, image_format: str) -> Any:
    np = optional("numpy", MEDIA, "saving images")
    array = _channels_last(np, _array(np, content))
    if array.dtype == np.uint16 and array.ndim == 2 and image_format in _SIXTEEN_BITS:
        return image_module.fromarray(array)
    return image_module.fromarray(_pixels(np, [array])[0])


def _opaque(image_module: Any, image: Any) -> Any:
    """JPEG knows no transparency: what can be seen through stands on white."""
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image.convert("RGB")
    with_alpha = image.convert("RGBA")
    background = image_module.new("RGBA", image.size, "white")
    background.alpha_composite(with_alpha)
    return background.convert("RGB")


# --- figures ------------------------------------------------------------------------------------------------


def current_figure() -> Any:
    """The figure that pyplot draws on.  Raises ConfigurationError where there is none."""
    pyplot = optional("matplotlib.pyplot", MEDIA, "saving figures")
    if not pyplot.get_fignums():
        raise ConfigurationError(
            "save_fig was given no figure, and pyplot has none open. Pass the figure: save_fig(fig, to=…)"
        )
    return pyplot.gcf()


def write_figure(file: BinaryIO, figure: Any, target: str, options: Mapping[str, Any]) -> None:
    """A matplotlib figure, or anything with a `savefig` or a `figure` that has one."""
    savefig = getattr(figure, "savefig", None) or getattr(getattr(figure, "figure", None), "savefig", None)
    if savefig is None:
        raise ConfigurationError(f"save_fig was given {type(figure).__name__}. Expected a matplotlib figure")
    chosen = {"format": ending_of(target, "loss.png")[1:], **options}
    try:
        savefig(file, **chosen)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"matplotlib cannot save this figure as {chosen['format']!r}: {error}") from error


def close_figure(figure: Any) -> None:
    """Gives back the memory that pyplot holds for a figure; a figure that pyplot does not know stays as it is."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(getattr(figure, "figure", None) or figure)


# --- videos -------------------------------------------------------------------------------------------------


def write_video(path: str, frames: Iterable[Any], fps: float, options: Mapping[str, Any]) -> None:
    """A list or stack of frames to the file at `path`, whose ending says the format."""
    np = optional("numpy", MEDIA, "saving videos")
    if not isinstance(frames, Iterable):
        raise ConfigurationError(f"save_video was given {type(frames).__name__}. Expected a list or an array of frames")
    arrays = [_channels_last(np, _array(np, frame)) for frame in frames]
    if not arrays:
        raise ConfigurationError("frame_stack is empty. Expected at least one frame")
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ConfigurationError(f"the frames differ in shape: {sorted(shapes)[:3]}. Expected frames of one shape")
    if not fps > 0:
        raise ConfigurationError(f"fps={fps!r} is not positive")
    pixels = _pixels(np, arrays)
    ending = splitext(path)[1]
    try:
        if ending in _ANIMATED_IMAGES:
            _write_animation(path, pixels, fps, options)
        else:
            _write_film(path, [_even(np, frame) for frame in pixels], fps, options)
    except (RuntimeError, ValueError, TypeError, AssertionError, OSError) as error:
        if isinstance(error, MissingExtraError):
            raise
        # An encoder is another process, and says why it failed on stderr alone: a full disk shows here or not at all.
        _probe_disk(path)
        raise ConfigurationError(
            f"this video of {len(pixels)} frames of shape {pixels[0].shape} cannot be written as {ending!r}: {error}"
        ) from error


def _write_animation(path: str, frames: Sequence[numpy.ndarray], fps: float, options: Mapping[str, Any]) -> None:
    imageio = optional("imageio.v3", MEDIA, "saving videos")
    imageio.imwrite(path, list(frames), **{"duration": 1000 / fps, "loop": 0, **options})


def _write_film(path: str, frames: Sequence[numpy.ndarray], fps: float, options: Mapping[str, Any]) -> None:
    imageio = optional("imageio.v2", MEDIA, "saving videos")
    encoder = optional("imageio_ffmpeg", MEDIA, "saving videos")
    chosen: dict[str, Any] = {"macro_block_size": 2, **options}
    if path.endswith(".webm"):
        chosen.setdefault("codec", "libvpx-vp9")
    with imageio.get_writer(path, format="FFMPEG", mode="I", fps=float(fps), **chosen) as writer:
        for frame in frames:
            writer.append_data(frame)
    # imageio does not look at how the encoder ended.
    written = encoder.count_frames_and_secs(path)[0] if getsize(path) else 0
    if written < len(frames):
        raise ValueError(f"the encoder wrote {written} of {len(frames)} frames; see what it says on stderr")


def _even(np: Any, frame: numpy.ndarray) -> numpy.ndarray:
    """Codecs want even sizes.  imageio would stretch the picture to multiples of 16; repeating an edge hurts nobody."""
    odd = [(0, size % 2) for size in frame.shape[:2]] + [(0, 0)] * (frame.ndim - 2)
    even: numpy.ndarray = np.pad(frame, odd, mode="edge")
    return even


def _probe_disk(path: str) -> None:
    """Raises OSError where the file at `path` cannot grow."""
    with open(path, "ab") as file:
        file.write(bytes(1 << 20))
        file.flush()
        fsync(file.fileno())


# --- arrays -------------------------------------------------------------------------------------------------


def _array(np: Any, content: Any) -> numpy.ndarray:
    """The values of an array, a tensor (also one on a GPU, also one with a gradient) or a Pillow image."""
    if hasattr(type(content), "detach") and hasattr(type(content), "cpu"):
        content = content.detach().cpu()
    array: numpy.ndarray = np.asarray(content)
    if array.dtype.kind not in "buif" or 0 in array.shape:
        raise ConfigurationError(
            f"{type(content).__name__} of {array.dtype} with shape {array.shape} is no image. Expected numbers, "
            "height × width or height × width × channels"
        )
    return array


def _channels_last(np: Any, array: numpy.ndarray) -> numpy.ndarray:
    """Height × width, or with 3 or 4 channels behind them."""
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)):
        return array
    raise ConfigurationError(
        f"an array of shape {array.shape} is no image. Expected height × width, or that with 1, 3 or 4 channels"
    )


def _pixels(np: Any, arrays: Sequence[numpy.ndarray]) -> list[numpy.ndarray]:
    """`uint8`, as the head of this file says; all arrays on one scale."""
    if all(array.dtype == np.uint8 for array in arrays):
        return [np.ascontiguousarray(array) for array in arrays]
    if all(array.dtype == bool for array in arrays):
        return [array.astype(np.uint8) * 255 for array in arrays]
    finite = [array[np.isfinite(array)] for array in arrays]
    low = min((float(values.min()) for values in finite if values.size), default=0.0)
    high = max((float(values.max()) for values in finite if values.size), default=0.0)
    are_integers = all(array.dtype.kind in "bui" for array in arrays)
    if low >= 0 and high <= (255 if are_integers else 1):
        low, high = 0.0, 255.0 if are_integers else 1.0
    scale = 255 / (high - low) if high > low else 0.0
    return [_scaled(np, array, low, high, scale) for array in arrays]


def _scaled(np: Any, array: numpy.ndarray, low: float, high: float, scale: float) -> numpy.ndarray:
    values = np.nan_to_num(array.astype(np.float64), nan=low, posinf=high, neginf=low)
    scaled: numpy.ndarray = np.rint((values - low) * scale).astype(np.uint8)
    return scaled
