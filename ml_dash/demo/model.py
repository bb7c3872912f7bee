"""The model of the demo: multinomial logistic regression, trained by stochastic gradient descent in plain Python.

Formula: Bishop, "Pattern Recognition and Machine Learning" (2006), section 4.3.4, equations 4.104 to 4.109.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from operator import mul

from .digits import CLASSES, PIXELS, Image


class SoftmaxRegression:
    """`weights` has a row of 64 weights and a bias for each of the ten digits; it starts at zero."""

    def __init__(self, weights: list[list[float]] | None = None) -> None:
        self.weights = weights or [[0.0] * (PIXELS + 1) for _ in range(CLASSES)]

    def probabilities(self, image: Image) -> list[float]:
        scores = [sum(map(mul, row, image.pixels)) + row[PIXELS] for row in self.weights]
        # Subtracting the largest score changes nothing but keeps `exp` from overflowing.
        highest = max(scores)
        powers = [exp(score - highest) for score in scores]
        total = sum(powers)
        return [power / total for power in powers]

    def learn(self, batch: Sequence[Image], learning_rate: float) -> float:
        """A step down the gradient of the cross-entropy for each image; returns the mean cross-entropy met, in nats."""
        loss = 0.0
        for image in batch:
            predicted = self.probabilities(image)
            loss -= log(max(predicted[image.digit], 1e-12))
            for digit, row in enumerate(self.weights):
                error = learning_rate * (predicted[digit] - (digit == image.digit))
                # Pixels are mostly blank, and a step that changes nothing is not worth taking.
                if abs(error) > 1e-6:
                    row[:PIXELS] = [weight - error * pixel for weight, pixel in zip(row, image.pixels, strict=False)]
                    row[PIXELS] -= error
        return loss / len(batch)

    def accuracy(self, images: Sequence[Image]) -> float:
        """The share of `images` whose digit gets the highest probability."""
        hits = 0
        for image in images:
            predicted = self.probabilities(image)
            hits += predicted.index(max(predicted)) == image.digit
        return hits / len(images)
