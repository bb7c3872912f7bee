"""A robot in a simulator: joints at 100 Hz, a camera at 10 Hz, a log of contacts, all on the clock of the simulator.

python robot.py .dash
"""

from __future__ import annotations

import sys
import threading

import numpy as np

from ml_dash import Experiment

STEPS = 200
CAMERA_EVERY = 10
SENSOR_SAMPLES = 100


def picture(step: int) -> np.ndarray:
    """24 × 32 RGB; a bright square moves over it."""
    frame = np.zeros((24, 32, 3), np.uint8)
    frame[:, :, 2] = step % 256
    frame[step % 20 : step % 20 + 4, step % 28 : step % 28 + 4, 0] = 255
    return frame


def sense(experiment: Experiment) -> None:
    """A thread of its own, with a clock of its own."""
    for sample in range(SENSOR_SAMPLES):
        experiment.tracks("sensors/imu").append(_ts=sample * 0.02, acceleration={"x": 0.1 * sample, "z": -9.81})


def simulate(experiment: Experiment) -> None:
    sensor = threading.Thread(target=sense, args=(experiment,))
    sensor.start()
    for step in range(STEPS):
        time = step / 100
        joints = np.sin(np.arange(6) + time)
        experiment.tracks("robot/joints").append(_ts=time, q=joints, gripper=np.float32(step % 2))
        experiment.tracks("robot/joints").append(_ts=-1, torque=(joints * 10).tolist())
        if step % CAMERA_EVERY == 0:
            saved = experiment.files("camera/left", bindrs=["video"]).save_image(picture(step), to=f"{step:05d}.png")
            experiment.tracks("camera/left").append(_ts=-1, file=f"camera/left/{saved['filename']}", step=step)
        if step % 50 == 49:
            experiment.log("contact", level="debug", step=step, force=np.float64(step))
            experiment.metrics("episode").log(_ts=-1, reward=float(joints.sum()), step=step)
    sensor.join()


if __name__ == "__main__":
    with Experiment("alice/robots/reach", dash_root=sys.argv[1], metadata={"simulator": "none"}).run as opened:
        opened.params.set(control={"rate_hz": 100, "gains": [1.0, 0.5]}, camera={"every": CAMERA_EVERY})
        simulate(opened)
        opened.tracks.flush()
