"""What held a device back while a job ran; who else was on it; and nothing made up where it cannot be asked."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sandbox.gpu import nvml
from sandbox.gpu.monitor import Sample, ThrottleWatch
from sandbox.job import GpuState


class Looks:
    """Gives the samples one after the other, and then the last one again and again."""

    def __init__(self, *samples: Sample | None) -> None:
        self._samples = list(samples)
        self.n_given = 0
        self.is_spent = threading.Event()

    def __call__(self) -> Sample | None:
        self.n_given += 1
        if len(self._samples) > 1:
            return self._samples.pop(0)
        self.is_spent.set()
        return self._samples[0]


def watched(*samples: Sample | None) -> GpuState | None:
    looks = Looks(*samples)
    with ThrottleWatch(looks) as watch:
        assert looks.is_spent.wait(600)
    return watch.state


def test_shares_are_of_the_looks_while_the_job_ran() -> None:
    at_rest = Sample(frozenset({"clocks_set"}), 210)
    state = watched(at_rest, Sample(frozenset({"power_cap"}), 1700), Sample(frozenset({"power_cap"}), 1700), None)
    assert state == GpuState({"power_cap": 1.0}, 1700)


def test_a_reason_that_held_for_a_part_has_that_part() -> None:
    free, hot = Sample(sm_mhz=1900), Sample(frozenset({"hw_thermal"}), 900)
    assert watched(free, free, hot, free, hot, None) == GpuState({"hw_thermal": 0.5}, 1400)


def test_a_program_that_was_there_before_the_job_is_another_s() -> None:
    gone = max(int(name) for name in os.listdir("/proc") if name.isdigit()) + 100_000
    state = watched(Sample(pids=frozenset({gone})), Sample(pids=frozenset({gone, gone + 1})), None)
    assert state is not None
    assert state.others == (gone,)


def test_a_program_that_outlives_the_job_is_another_s() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as lives:
        with subprocess.Popen([sys.executable, "-c", ""]) as ends:
            pass
        state = watched(Sample(), Sample(pids=frozenset({lives.pid, ends.pid})), None)
        lives.communicate(b"\n")
    assert state is not None
    assert state.others == (lives.pid,)


def test_the_driver_s_bits_have_names() -> None:
    assert nvml.reasons_of(0x1) == frozenset()  # idle
    assert nvml.reasons_of(0x4 | 0x40 | 0x8) == {"power_cap", "hw_thermal", "hw_slowdown"}
    assert nvml.reasons_of(1 << 40) == frozenset()


def test_the_names_are_the_driver_s_own() -> None:
    pynvml = pytest.importorskip("pynvml")
    assert nvml.reasons_of(pynvml.nvmlClocksThrottleReasonSwPowerCap) == {"power_cap"}
    assert nvml.reasons_of(pynvml.nvmlClocksThrottleReasonHwSlowdown) == {"hw_slowdown"}
    assert nvml.reasons_of(pynvml.nvmlClocksThrottleReasonHwThermalSlowdown) == {"hw_thermal"}
    assert nvml.reasons_of(pynvml.nvmlClocksThrottleReasonSwThermalSlowdown) == {"sw_thermal"}
    assert nvml.reasons_of(pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown) == {"power_brake"}
    assert nvml.reasons_of(pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting) == {"clocks_set"}


def test_without_a_driver_nothing_is_known() -> None:
    if Path("/dev/nvidiactl").exists():
        return
    with ThrottleWatch(nvml.state_reader("0")) as watch:
        pass
    assert watch.state is None
