"""Structural similarity as it is printed."""

import math

import numpy as np


def ssim_as_printed(first, second, stride=1, size=11, deviation=1.5):
    """Wang et al. 2004, eqs. 13 to 17, window by window."""
    c1, c2 = 0.01**2, 0.03**2
    weights = np.array(
        [
            [
                math.exp(-((i - size // 2) ** 2 + (j - size // 2) ** 2) / (2 * deviation**2))
                for j in range(size)
            ]
            for i in range(size)
        ]
    )
    weights /= weights.sum()
    height, width, channels = first.shape
    values = []
    for channel in range(channels):
        for row in range(0, height - size + 1, stride):
            for column in range(0, width - size + 1, stride):
                window = (slice(row, row + size), slice(column, column + size), channel)
                x, y = first[window], second[window]
                mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
                variance_x = (weights * (x - mean_x) ** 2).sum()
                variance_y = (weights * (y - mean_y) ** 2).sum()
                covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
                values.append(
                    (2 * mean_x * mean_y + c1)
                    * (2 * covariance + c2)
                    / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
                )
    return np.array(values)
