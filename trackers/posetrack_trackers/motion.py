"""A motion model of the human body: one Kalman filter per tracked point, all of them in one array."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrack_trackers.oks import Floats

# First axis of the state array.
X, Y, VX, VY, VAR, COV, VEL_VAR = range(7)


@dataclass(frozen=True)
class Motion:
    """How a body and its keypoints move. Lengths are in body sizes, the square root of the box's area.

    The velocity of a keypoint decays towards the velocity of the body with time constant `limb_seconds`. The
    velocity of the body decays to zero with `body_seconds`, so that a lost track does not drift away, and the
    growth of the box with `size_seconds`. The square of `*_acceleration` is the spectral density of
    a white-noise acceleration. `*_noise` is the standard deviation of a measurement with score 1.
    """

    body_seconds: float = 2.0
    limb_seconds: float = 0.15
    size_seconds: float = 0.3
    body_acceleration: float = 2.0
    limb_acceleration: float = 4.0
    size_acceleration: float = 0.5
    box_noise: float = 0.2
    size_noise: float = 0.2
    keypoint_noise: float = 0.05
    speed: float = 2.0
    """Standard deviation of a new track's velocity, in body sizes per second."""


class BodyFilters:
    """Kalman filters of T bodies with K keypoints; point K is the box's centre, point K + 1 its width and height.

    `state` (7, T, K + 2) holds, for every point, x, y, their velocities, and the variance of the position, its
    covariance with the velocity and the variance of the velocity; x and y share the last three. Positions are
    in pixels, (co)variances in squared body sizes, so that near and far people are equally uncertain.

    The model of one coordinate is a linear filter with F = [[1, travel], [0, decay]] and the velocity of the
    body as control input. The tests compare it with filterpy.kalman.KalmanFilter.
    """

    def __init__(self, keypoints: int, motion: Motion) -> None:
        self.motion = motion
        self.state: Floats = np.zeros((7, 0, keypoints + 2))
        self._centre, self._size = keypoints, keypoints + 1

        def per_point(limb: float, body: float, size: float) -> Floats:
            return np.array([limb] * keypoints + [body, size])

        self._time_constants = per_point(motion.limb_seconds, motion.body_seconds, motion.size_seconds)
        self._noise_density = (
            per_point(motion.limb_acceleration, motion.body_acceleration, motion.size_acceleration) ** 2
        )
        self._variances = per_point(motion.keypoint_noise, motion.box_noise, motion.size_noise) ** 2
        self._follows_body = per_point(1.0, 0.0, 0.0)

    def __len__(self) -> int:
        return int(self.state.shape[1])

    @property
    def sizes(self) -> Floats:
        """Width and height (2, T) of every body's box in pixels, each at least 1."""
        return np.maximum(self.state[X : Y + 1, :, self._size], 1.0)

    @property
    def boxes(self) -> Floats:
        """(T, 4) x1 y1 x2 y2."""
        centres, halves = self.state[X : Y + 1, :, self._centre], 0.5 * self.sizes
        return np.concatenate([centres - halves, centres + halves]).T

    @property
    def keypoints(self) -> Floats:
        """(T, K, 2)."""
        return self.state[X : Y + 1, :, : self._centre].transpose(1, 2, 0)

    def copy(self) -> BodyFilters:
        """Filters that change independently of these."""
        twin = copy.copy(self)
        twin.state = self.state.copy()
        return twin

    def predict(self, elapsed: float) -> None:
        """Advance every body by `elapsed` seconds (0 or more)."""
        elapsed = round(elapsed, 6)  # remove the rounding noise of frame times
        decay = np.exp(-elapsed / self._time_constants)
        travel = self._time_constants * (1.0 - decay)
        body_decay = self._follows_body * (decay[self._centre] - decay)
        body_travel = self._follows_body * (travel[self._centre] - travel)
        velocity = self.state[VX : VY + 1]
        body_velocity = velocity[:, :, self._centre, None]
        self.state[X : Y + 1] += travel * velocity + body_travel * body_velocity
        self.state[VX : VY + 1] += (decay - 1.0) * velocity + body_decay * body_velocity

        # P = F P F' + Q, with Q that of a white-noise acceleration at constant velocity.
        covariance, velocity_variance = self.state[COV], self.state[VEL_VAR]
        noise = self._noise_density * elapsed
        self.state[VAR] += (
            2.0 * travel * covariance + travel**2 * velocity_variance + noise * elapsed**2 / 3.0
        )
        self.state[COV] += (
            (decay - 1.0) * covariance + decay * travel * velocity_variance + noise * elapsed / 2.0
        )
        self.state[VEL_VAR] += (decay**2 - 1.0) * velocity_variance + noise

    def measurement_variances(self, box_scores: Floats, keypoint_scores: Floats) -> Floats:
        """Variances (n, K + 2), in squared body sizes, of measurements with scores (n,) and (n, K).

        A low score, as of an occluded keypoint, gives a large variance.
        """
        scores = np.column_stack([keypoint_scores, box_scores, box_scores])
        variances: Floats = self._variances / np.maximum(scores, 1e-3) ** 2
        return variances

    def correct(self, tracks: NDArray[np.intp], measured: Floats, variances: Floats) -> None:
        """Update the bodies `tracks` (n,) with points `measured` (2, n, K + 2) of `variances` (n, K + 2)."""
        state = self.state[:, tracks]
        position_gain, velocity_gain = state[VAR : COV + 1] / (state[VAR] + variances)
        residual = measured - state[X : Y + 1]
        state[X : Y + 1] += position_gain * residual
        state[VX : VY + 1] += velocity_gain * residual
        state[VEL_VAR] -= velocity_gain * state[COV]
        state[COV] -= position_gain * state[COV]
        state[VAR] -= position_gain * state[VAR]
        self.state[:, tracks] = state

    def add(self, measured: Floats, variances: Floats) -> None:
        """Append a body at rest for each of `measured` (2, n, K + 2) with `variances` (n, K + 2)."""
        added = np.zeros((7, *measured.shape[1:]))
        added[X : Y + 1] = measured
        added[VAR] = variances
        added[VEL_VAR] = self.motion.speed**2
        self.state = np.concatenate([self.state, added], axis=1)

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Remove the bodies for which `kept` (T,) is False."""
        self.state = self.state[:, kept]

    def move_camera(self, affine: Floats) -> None:
        """Apply a camera motion `affine` (2, 3), from the previous image to this one, to all states."""
        linear, shift = affine[:, :2], affine[:, 2, None, None]
        scale = float(np.sqrt(abs(np.linalg.det(linear))))
        # A box stays upright: its width and height are scaled, not rotated.
        sizes = self.state[: VY + 1, :, self._size] * scale
        self.state[X : Y + 1] = np.tensordot(linear, self.state[X : Y + 1], axes=1) + shift
        self.state[VX : VY + 1] = np.tensordot(linear, self.state[VX : VY + 1], axes=1)
        self.state[: VY + 1, :, self._size] = sizes
