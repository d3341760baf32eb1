"""What NVML says of a GPU, through the optional package nvidia-ml-py.

Written from release 13.615 of that package, and run on an H100 with release 13.610.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attnlab.bench.store.records import DeviceState

REASONS = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "thermal, by the driver",
    0x040: "thermal, by the hardware",
    0x080: "power brake",
    0x100: "display clocks",
}  # bits of nvmlClocksEventReason*


class Nvml:
    """One GPU; whatever NVML does not tell of it is None."""

    def __init__(self, module: Any, handle: Any) -> None:
        self._m, self._handle = module, handle

    def state(self) -> DeviceState:
        m = self._m
        reasons = self._ask(m.nvmlDeviceGetCurrentClocksEventReasons)
        thermal = self._ask(m.nvmlDeviceGetViolationStatus, m.NVML_PERF_POLICY_THERMAL)
        power = self._ask(m.nvmlDeviceGetViolationStatus, m.NVML_PERF_POLICY_POWER)
        return DeviceState(
            sm_clock_mhz=_number(self._ask(m.nvmlDeviceGetClockInfo, m.NVML_CLOCK_SM)),
            memory_clock_mhz=_number(self._ask(m.nvmlDeviceGetClockInfo, m.NVML_CLOCK_MEM)),
            temperature_c=_number(self._ask(m.nvmlDeviceGetTemperature, m.NVML_TEMPERATURE_GPU)),
            power_w=_thousandth(self._ask(m.nvmlDeviceGetPowerUsage)),
            throttle=None if reasons is None else words(int(reasons)),
            thermal_violation_ns=None if thermal is None else float(thermal.violationTime),
            power_violation_ns=None if power is None else float(power.violationTime),
            energy_j=_thousandth(self._ask(m.nvmlDeviceGetTotalEnergyConsumption)),
        )

    def highest_sm_clock_mhz(self) -> float | None:
        return _number(self._ask(self._m.nvmlDeviceGetMaxClockInfo, self._m.NVML_CLOCK_SM))

    def processes(self) -> tuple[int, ...] | None:
        found = self._ask(self._m.nvmlDeviceGetComputeRunningProcesses)
        return None if found is None else tuple(int(process.pid) for process in found)

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer; None where this GPU, driver or container does not give it."""
        try:
            return question(self._handle, *arguments)
        except self._m.NVMLError:
            return None


def open_nvml(uuid: str) -> Nvml | str:
    """NVML's view of the GPU of that UUID, or why there is none."""
    try:
        import pynvml
    except ImportError:
        return "the package nvidia-ml-py is not installed (pip install 'attnlab[nvml]')"
    try:
        pynvml.nvmlInit()
        return Nvml(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid))
    except pynvml.NVMLError as error:
        return f"NVML does not answer: {error}"


def words(bits: int) -> tuple[str, ...]:
    """The reasons behind NVML's bits; one that is not known here is named by its bit."""
    unknown = [f"reason {1 << n:#x}" for n in range(bits.bit_length()) if bits >> n & 1 and 1 << n not in REASONS]
    return (*(word for bit, word in REASONS.items() if bits & bit), *unknown)


def _number(answer: Any) -> float | None:
    return None if answer is None else float(answer)


def _thousandth(answer: Any) -> float | None:
    return None if answer is None else float(answer) / 1000
