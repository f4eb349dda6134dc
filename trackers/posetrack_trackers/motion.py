"""Where every tracked point is going: one Kalman filter a point, all filters in one array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posetrack_trackers.oks import Floats

# Planes of the state array.
X, Y, VX, VY, VAR, COV, VEL_VAR = range(7)


@dataclass(frozen=True)
class Motion:
    """How the points of one body move; lengths are in body sizes (square root of the box's area).

    A point's velocity falls back to the body's with time constant `limb_seconds`; the body's own velocity
    falls to nothing with `body_seconds` (so that a lost track does not run away), the growth of its box
    with `size_seconds`. `*_acceleration` squared is the spectral density of the white noise on the
    velocity, `*_noise` the standard deviation of a measurement of full score.
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
    """Standard deviation of the velocity of somebody just found, in body sizes a second."""


class BodyFilters:
    """Kalman filters of T bodies of K keypoints; point K is the box's centre, K + 1 its width and height.

    `state` (7, T, K + 2) holds x, y, their velocities, and the variance of the position, its covariance
    with the velocity and the variance of the velocity, which x and y share. Positions are pixels; the
    (co)variances are in units of body size, so they are right for the far and the near person alike. The
    model of one coordinate is the linear filter of filterpy.kalman.KalmanFilter with F = [[1, travel], [0,
    decay]] and the body's velocity as control input; the tests hold it to that.
    """

    def __init__(self, keypoints: int, motion: Motion) -> None:
        self.motion = motion
        self.state: Floats = np.zeros((7, 0, keypoints + 2))
        self._centre = keypoints
        limbs = np.ones(keypoints)
        self._seconds = np.append(limbs * motion.limb_seconds, [motion.body_seconds, motion.size_seconds])
        self._density = (
            np.append(limbs * motion.limb_acceleration, [motion.body_acceleration, motion.size_acceleration])
            ** 2
        )
        self._noise = np.append(limbs * motion.keypoint_noise, [motion.box_noise, motion.size_noise]) ** 2
        self._follows_body = np.append(limbs, [0.0, 0.0])
        self._step_of = -1.0, 0
        self._step: tuple[Floats, ...] = ()

    def __len__(self) -> int:
        return int(self.state.shape[1])

    def predict(self, elapsed: float) -> None:
        """Move every body on by `elapsed` seconds (0 or more)."""
        if len(self) == 0:
            return
        elapsed = round(elapsed, 6)  # frames of a fixed rate are then equally far apart
        if (elapsed, len(self)) != self._step_of:
            self._step_of = elapsed, len(self)
            # Repeated for every body: whole arrays are quicker than many short rows.
            self._step = tuple(np.repeat(part, len(self), axis=-2) for part in self._coefficients(elapsed))
        by_velocity, by_body, by_cov, by_vel_var, noise = self._step
        velocity = self.state[VX : VY + 1]
        moved = by_velocity * velocity + by_body * velocity[:, :, self._centre, None]
        spread = by_cov * self.state[COV] + by_vel_var * self.state[VEL_VAR] + noise
        self.state[: VY + 1] += moved.reshape(4, len(self), -1)
        self.state[VAR:] += spread

    def _coefficients(self, elapsed: float) -> tuple[Floats, ...]:
        """What `elapsed` seconds change, per point.

        Of place and velocity, (2, 1, 1, K + 2): by the point's velocity and by the body's. Of variance, covariance
        and variance of the velocity, (3, 1, K + 2): by covariance, by variance of the velocity, and by noise.
        """
        decay = np.exp(-elapsed / self._seconds)
        travel = self._seconds * (1.0 - decay)
        carried = self._follows_body * (travel[self._centre] - travel)
        kept = self._follows_body * (decay[self._centre] - decay)
        noise = self._density * elapsed
        return (
            np.stack([travel, decay - 1.0])[:, None, None],
            np.stack([carried, kept])[:, None, None],
            np.stack([2.0 * travel, decay - 1.0, np.zeros_like(decay)])[:, None],
            np.stack([travel**2, decay * travel, decay**2 - 1.0])[:, None],
            np.stack([noise * elapsed**2 / 3.0, noise * elapsed / 2.0, noise])[:, None],
        )

    def noise_of(self, box_scores: Floats, keypoint_scores: Floats) -> Floats:
        """Measurement variances (N, K + 2) in body sizes; an unsure (occluded) keypoint has a great one."""
        certainty = np.empty((len(box_scores), keypoint_scores.shape[1] + 2))
        certainty[:, : self._centre] = keypoint_scores
        certainty[:, self._centre :] = box_scores[:, None]
        np.maximum(certainty, 1e-3, out=certainty)
        noise: Floats = self._noise / (certainty * certainty)
        return noise

    def correct(self, tracks: NDArray[np.intp], measured: Floats, noise: Floats) -> None:
        """Take in `measured` (2, n, K + 2) with variances `noise` (n, K + 2) for the bodies `tracks` (n,)."""
        state = self.state.take(tracks, axis=1)
        var_and_cov = state[VAR : COV + 1]
        gains = var_and_cov / (var_and_cov[0] + noise)
        surprise = measured - state[X : Y + 1]
        state[: VY + 1] += (gains[:, None] * surprise).reshape(4, *noise.shape)
        state[VEL_VAR] -= gains[1] * var_and_cov[1]
        var_and_cov -= gains[0] * var_and_cov
        self.state[:, tracks] = state

    def add(self, measured: Floats, noise: Floats) -> None:
        """Start a body at rest for each of `measured` (2, n, K + 2) with variances `noise` (n, K + 2)."""
        born = np.zeros((7, *measured.shape[1:]))
        born[X : Y + 1] = measured
        born[VAR] = noise
        born[VEL_VAR] = self.motion.speed**2
        self.state = np.concatenate([self.state, born], axis=1)

    def keep(self, tracks: NDArray[np.bool_]) -> None:
        """Forget every body whose place in `tracks` (T,) is False."""
        self.state = self.state[:, tracks]

    def move_camera(self, affine: Floats) -> None:
        """Carry all states along with a camera motion `affine` (2, 3): previous picture -> this picture."""
        turn = affine[:, :2]
        zoom = float(np.sqrt(abs(np.linalg.det(turn))))
        size = self.state[: VY + 1, :, self._centre + 1] * zoom
        shift = affine[:, 2, None, None]
        self.state[X : Y + 1] = np.tensordot(turn, self.state[X : Y + 1], axes=1) + shift
        self.state[VX : VY + 1] = np.tensordot(turn, self.state[VX : VY + 1], axes=1)
        self.state[: VY + 1, :, self._centre + 1] = size
