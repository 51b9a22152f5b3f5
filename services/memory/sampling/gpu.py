"""GPU memory, as torch and the driver count it. Costs nothing where there is no GPU."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import structlog

from services.memory.types import Series

log = structlog.get_logger(__name__)

# Exists once the driver is loaded; the NVML binding is imported only then.
_DRIVER = Path("/dev/nvidiactl")


def torch_columns() -> Mapping[str, float]:
    """Return the bytes that torch has allocated, reserved, and allocated at peak, over all its devices.

    Empty unless torch is imported and CUDA initialised already: both cost hundreds of megabytes.
    """
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return {}
    stats = [cuda.memory_stats(device) for device in range(cuda.device_count())]
    return {
        column: float(sum(stat.get(name, 0) for stat in stats))
        for column, name in (
            (Series.GPU_ALLOCATED, "allocated_bytes.all.current"),
            (Series.GPU_RESERVED, "reserved_bytes.all.current"),
            (Series.GPU_PEAK, "allocated_bytes.all.peak"),
        )
    }


class DeviceSource:
    """Reads memory and utilization of the devices visible to this process, by NVML. Empty without a driver."""

    def __init__(self, driver: Path = _DRIVER) -> None:
        self._driver = driver
        self._nvml: ModuleType | None = None
        self._devices: list[Any] | None = None

    def __call__(self) -> Mapping[str, float]:
        """Return used and total bytes over all devices, and their mean utilization (0 to 1)."""
        if self._devices is None:
            self._devices = self._find()
        nvml = self._nvml
        if nvml is None or not self._devices:
            return {}
        memory = [nvml.nvmlDeviceGetMemoryInfo(device) for device in self._devices]
        values: dict[str, float] = {
            Series.GPU_USED: float(sum(found.used for found in memory)),
            Series.GPU_TOTAL: float(sum(found.total for found in memory)),
        }
        try:
            busy = [nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100 for device in self._devices]
        except nvml.NVMLError:
            return values  # not available for devices split into instances (MIG)
        return values | {Series.GPU_BUSY: sum(busy) / len(busy)}

    def close(self) -> None:
        """Shut NVML down."""
        nvml, self._nvml, self._devices = self._nvml, None, []
        if nvml is not None:
            nvml.nvmlShutdown()

    def _find(self) -> list[Any]:
        if not self._driver.exists():
            return []
        try:
            nvml = importlib.import_module("pynvml")
            nvml.nvmlInit()
        except Exception as error:  # noqa: BLE001 - a broken driver must not stop the process
            log.info("no GPU figures", reason=str(error))
            return []
        self._nvml = nvml
        return [device for device in _visible_devices(nvml) if device is not None]


def _visible_devices(nvml: ModuleType) -> list[Any]:
    """Return the devices in CUDA_VISIBLE_DEVICES, or all where it is not set."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    handles = []
    for name in filter(None, map(str.strip, visible.split(","))):
        try:
            handle = (
                nvml.nvmlDeviceGetHandleByIndex(int(name))
                if name.isdigit()
                else nvml.nvmlDeviceGetHandleByUUID(name.encode())
            )
        except nvml.NVMLError:
            break  # CUDA, too, ignores what follows an invalid entry
        handles.append(handle)
    return handles
