"""The data set of the demo: 1,797 images of handwritten digits, 8×8 pixels with 17 shades of grey.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49 (CC BY 4.0); its test set, one image a line: 64 pixels and the digit.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib.resources import files

PIXELS = 64
CLASSES = 10
SHADE_MAX = 16.0


@dataclass(frozen=True, slots=True)
class Image:
    """`pixels` are 64 numbers from 0 to 1, row by row; `digit` is what was written."""

    pixels: tuple[float, ...]
    digit: int


def load_digits() -> list[Image]:
    """All images, in the order of the source, in which the digits and the writers are well mixed."""
    text = gzip.decompress((files(__package__) / "digits.csv.gz").read_bytes()).decode("ascii")
    images = []
    for line in text.splitlines():
        *pixels, digit = (float(number) for number in line.split(","))
        images.append(Image(tuple(pixel / SHADE_MAX for pixel in pixels), int(digit)))
    return images


def split_fold(images: list[Image], fold: int, folds: int) -> tuple[list[Image], list[Image]]:
    """(training, validation) of one of the `folds` rounds of a cross-validation; `fold` counts from 0."""
    training = [image for index, image in enumerate(images) if index % folds != fold]
    validation = images[fold::folds]
    return training, validation
