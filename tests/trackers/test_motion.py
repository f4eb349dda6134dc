"""The filters agree with filterpy's, one coordinate at a time."""

from __future__ import annotations

import numpy as np
from filterpy.kalman import KalmanFilter
from posetrack_trackers.motion import COV, VAR, VEL_VAR, VX, VY, BodyFilters, Motion, X, Y


def test_agrees_with_filterpy() -> None:
    rng = np.random.default_rng(0)
    motion = Motion()
    bodies = BodyFilters(1, motion)
    times = np.cumsum(rng.uniform(0.01, 0.2, 12))
    scores = rng.uniform(0.1, 1, (12, 1, 1))
    box_scores = rng.uniform(0.3, 1, (12, 1))
    points = np.array([100.0, 200])[:, None, None] + rng.normal(0, 20, (12, 2, 1, 3))
    bodies.add(points[0], bodies.measurement_variances(box_scores[0], scores[0]))

    filters = {}
    for axis in range(2):
        for point in range(3):
            kalman = KalmanFilter(dim_x=2, dim_z=1, dim_u=2)
            kalman.x = np.array([points[0, axis, 0, point], 0.0])
            kalman.P = np.diag(
                [bodies.measurement_variances(box_scores[0], scores[0])[0, point], motion.speed**2]
            )
            kalman.H = np.array([[1.0, 0.0]])
            filters[axis, point] = kalman
    seconds = [motion.limb_seconds, motion.body_seconds, motion.size_seconds]
    density = [motion.limb_acceleration**2, motion.body_acceleration**2, motion.size_acceleration**2]
    for step in range(1, 12):
        elapsed = round(float(times[step] - times[step - 1]), 6)
        variances = bodies.measurement_variances(box_scores[step], scores[step])
        bodies.predict(elapsed)
        bodies.correct(np.array([0]), points[step], variances)
        for axis in range(2):
            velocity = filters[axis, 1].x[1]
            for point in (0, 2, 1):
                decay = np.exp(-elapsed / seconds[point])
                travel = seconds[point] * (1 - decay)
                body_decay = np.exp(-elapsed / seconds[1])
                body_travel = seconds[1] * (1 - body_decay)
                kalman = filters[axis, point]
                kalman.predict(
                    u=np.array([velocity, 0.0]) if point == 0 else np.zeros(2),
                    B=np.array([[body_travel - travel, 0.0], [body_decay - decay, 0.0]]),
                    F=np.array([[1.0, travel], [0.0, decay]]),
                    Q=density[point]
                    * np.array([[elapsed**3 / 3, elapsed**2 / 2], [elapsed**2 / 2, elapsed]]),
                )
                kalman.update(points[step, axis, 0, point], R=variances[0, point])
                ours = bodies.state[:, 0, point]
                np.testing.assert_allclose(ours[[X, VX] if axis == 0 else [Y, VY]], kalman.x, rtol=1e-9)
                np.testing.assert_allclose(
                    [[ours[VAR], ours[COV]], [ours[COV], ours[VEL_VAR]]], kalman.P, rtol=1e-9, atol=1e-12
                )


def test_a_hidden_keypoint_moves_with_the_body() -> None:
    """From frame 10 on, the keypoint has score 0 and a meaningless position."""
    bodies = BodyFilters(1, Motion())
    lag = []
    for index in range(60):
        at = 4.0 * index
        points = np.array([[at if index < 10 else 0.0, at, 50.0], [0.0, 0.0, 150.0]])[:, None]
        variances = bodies.measurement_variances(np.array([0.9]), np.array([[0.9 if index < 10 else 0.0]]))
        if index == 0:
            bodies.add(points, variances)
        else:
            bodies.predict(0.04)
            bodies.correct(np.array([0]), points, variances)
        lag.append(at - bodies.state[X, 0, 0])
    # While the body moves by 200 pixels, the keypoint lags behind by at most the width of the box.
    assert abs(lag[-1] - lag[9]) < 50
    assert bodies.state[VAR, 0, 0] > 10 * bodies.state[VAR, 0, 1]


def test_camera_motion_transforms_positions_velocities_and_sizes() -> None:
    bodies = BodyFilters(1, Motion())
    points = np.array([[10.0, 20.0, 50.0], [5.0, 6.0, 150.0]])[:, None]
    bodies.add(points, bodies.measurement_variances(np.array([0.9]), np.array([[0.9]])))
    bodies.state[VX] = 3.0
    bodies.move_camera(np.array([[0.0, -2.0, 7.0], [2.0, 0.0, 1.0]]))
    np.testing.assert_allclose(bodies.state[X : Y + 1, 0], [[-3.0, -5.0, 100.0], [21.0, 41.0, 300.0]])
    np.testing.assert_allclose(bodies.state[VX : VY + 1, 0], [[0.0, 0.0, 6.0], [6.0, 6.0, 0.0]], atol=1e-12)
