"""The sources of a sample: figures of the process, of its allocators, of the machine and container around it, and of
GPUs (by torch and the driver; free of cost where there is none).
"""

from __future__ import annotations

import _tracemalloc
import importlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import structlog

from services.memory.cgroup import parse_field, read_small_file
from services.memory.limit import MemoryLimit
from services.memory.process import rss_bytes
from services.memory.types import Series

log = structlog.get_logger(__name__)

# Mean bytes of a block until a ledger measures it (CPython 3.11 with torch and Streamlit: 80 to 95).
_BLOCK_BYTES = 90.0
# Samples without `live` at the start, so that the ledger's first reading makes no step in it.
_WARM_UP_SAMPLES = 10
_KB = 1024
# Exists once the driver is loaded; the NVML binding is imported only then.
_DRIVER = Path("/dev/nvidiactl")


class ProcessSource:
    """Reads RSS, threads (native ones too), descriptors and CPU of this process."""

    def __init__(self, proc: str = "/proc") -> None:
        self._threads = f"{proc}/self/task"
        self._descriptors = f"{proc}/self/fd"
        self._cpu: tuple[float, float] | None = None

    def __call__(self) -> Mapping[str, float]:
        """Return RSS, threads, descriptors and CPU since the last call."""
        values: dict[str, float] = {Series.RSS: float(rss_bytes()), Series.THREADS: float(self._count_threads())}
        descriptors = self._count_descriptors()
        if descriptors is not None:
            values[Series.DESCRIPTORS] = float(descriptors)
        now, cpu = time.monotonic(), time.process_time()
        if self._cpu is not None and now > self._cpu[0]:
            values[Series.CPU] = (cpu - self._cpu[1]) / (now - self._cpu[0])
        self._cpu = (now, cpu)
        return values

    def _count_threads(self) -> int:
        try:
            # The link count of a folder is its number of subfolders plus two; the kernel keeps it for /proc/self/task.
            links = os.stat(self._threads).st_nlink  # noqa: PTH116 - called each second: a Path would cost more than the call
        except OSError:
            return threading.active_count()
        return links - 2 if links > 2 else threading.active_count()

    def _count_descriptors(self) -> int | None:
        try:
            # Since Linux 6.2 the size of this folder is the number of open files; before, it is 0.
            size = os.stat(self._descriptors).st_size  # noqa: PTH116 - as above
            return size or len(os.listdir(self._descriptors)) - 1  # noqa: PTH208 - as above; minus the one used for listing
        except OSError:
            pass
        count = getattr(psutil.Process(), "num_fds", None) or getattr(psutil.Process(), "num_handles", None)
        return int(count()) if count is not None else None


class HeapSource:
    """Reads the allocators: malloc's and Python's. `live` combines the two cheap figures into the bytes in use.

    The number of Python's blocks is cheap to read, their bytes are expensive: the ledger reads these now and then.
    Between two readings `live` follows the number of blocks, at their mean size. So a new reading corrects the error of
    half a minute and does not shift the curve.
    """

    def __init__(self) -> None:
        self._heap_info = getattr(psutil, "heap_info", None)
        self._read: float | None = None  # bytes of Python's blocks in the last reading
        self._blocks = 0.0  # blocks at that time
        self._size = _BLOCK_BYTES
        self._samples = 0

    def __call__(self) -> Mapping[str, float]:
        """Return the bytes in use by malloc, the number of Python's blocks, and the bytes traced by tracemalloc."""
        traced = float(_tracemalloc.get_traced_memory()[0])
        values: dict[str, float] = {Series.PYTHON_BLOCKS: float(sys.getallocatedblocks()), Series.TRACED: traced}
        if self._heap_info is not None:
            info = self._heap_info()
            values[Series.HEAP_USED] = float(info.heap_used + info.mmap_used)
            values[Series.HEAP_MAPPED] = float(info.mmap_used)
        return values

    def live(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """Return the bytes in use, derived from the `values` of the other sources; nothing without heap figures."""
        heap, blocks = values.get(Series.HEAP_USED), values.get(Series.PYTHON_BLOCKS)
        if heap is None or blocks is None:
            return {}
        read = values.get(Series.PYTHON_USED)
        if read is not None and read != self._read and blocks:
            self._read, self._blocks, self._size = read, blocks, read / blocks
        if self._read is None:
            self._samples += 1
            return {Series.LIVE: heap + blocks * self._size} if self._samples > _WARM_UP_SAMPLES else {}
        return {Series.LIVE: heap + self._read + (blocks - self._blocks) * self._size}


class SystemSource:
    """Reads memory pressure, the container's use, available memory and the limit of RSS.

    The limit is `limit` where it is shared with others, else `limit_bytes` (0: the container's limit or the RAM).
    """

    def __init__(
        self,
        limit_bytes: int = 0,
        *,
        limit: MemoryLimit | None = None,
        proc: str = "/proc",
        groups: str = "/sys/fs/cgroup",
    ) -> None:
        self._limit = limit or MemoryLimit(limit_bytes, proc=proc, groups=groups)
        self._pressure = f"{proc}/pressure/memory"
        self._memory = f"{proc}/meminfo"
        self._group = self._limit.group

    def __call__(self) -> Mapping[str, float]:
        """Return the figures that this system provides."""
        group = self._group
        used, group_limit = (group.used_bytes(), group.limit_bytes()) if group else (None, None)
        found: dict[str, float | None] = {
            Series.PRESSURE: _pressure_share(read_small_file(self._pressure)),
            Series.GROUP_USED: used,
            Series.GROUP_LIMIT: group_limit,
            Series.AVAILABLE: self._available(),
            Series.LIMIT: self._limit.current()[0],
        }
        return {name: float(value) for name, value in found.items() if value is not None}

    def _available(self) -> int:
        kilobytes = parse_field(read_small_file(self._memory) or b"", b"MemAvailable:")
        return _KB * kilobytes if kilobytes is not None else int(psutil.virtual_memory().available)


def _pressure_share(text: bytes | None) -> float | None:
    """Return the share of the last 10 s in which some task waited for memory (0 to 1), None where it is unknown.

    https://docs.kernel.org/accounting/psi.html
    """
    first = (text or b"").split(b"\n", 1)[0].split()
    for word in first[1:]:
        name, _, value = word.partition(b"=")
        if name == b"avg10":
            return float(value) / 100
    return None


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
