from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from services.core.events import NullEventSink
from services.core.machine import MEGABYTE
from services.memory.cgroup import find_group
from services.memory.clock import Clock
from services.memory.gc.control import GCControl, collector_columns
from services.memory.ledger.ledger import LedgerBuilder
from services.memory.sampling.gc_pauses import PauseRecorder
from services.memory.sampling.sources import DeviceSource, HeapSource, ProcessSource, SystemSource, torch_columns
from services.memory.types import Series
from tests.servers import ROOT

needs_heap_figures = pytest.mark.skipif(not hasattr(psutil, "heap_info"), reason="the C library has no statistics")


def test_threads_and_descriptors_are_counted() -> None:
    """A leak of threads or files is seen in its own count."""
    source = ProcessSource()
    before = source()
    release = threading.Event()
    threads = [threading.Thread(target=release.wait) for _ in range(7)]
    for thread in threads:
        thread.start()
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(13)]
    during = source()
    release.set()
    for thread in threads:
        thread.join()
    for descriptor in descriptors:
        os.close(descriptor)
    assert during[Series.THREADS] - before[Series.THREADS] == 7
    assert during[Series.DESCRIPTORS] - before[Series.DESCRIPTORS] == 13
    assert source()[Series.DESCRIPTORS] == before[Series.DESCRIPTORS]


def test_cpu_is_a_share_of_one_core() -> None:
    """A busy thread shows as about one core, an idle process as none."""
    source = ProcessSource()
    assert Series.CPU not in source()
    began = time.process_time()
    while time.process_time() - began < 0.2:
        pass
    assert 0.05 < source()[Series.CPU] < 2 * (os.cpu_count() or 1)


def test_rss_follows_memory_that_is_touched() -> None:
    """RSS is the resident set in bytes, not in pages or kilobytes."""
    source = ProcessSource()
    before = source()[Series.RSS]
    planted = bytearray(os.urandom(MEGABYTE)) * 60
    assert source()[Series.RSS] - before == pytest.approx(len(planted), rel=0.15)


def test_without_proc_what_can_be_known_is_there(tmp_path: Path) -> None:
    """On a system without /proc nothing fails: counts come from elsewhere, the rest is missing."""
    nowhere = str(tmp_path / "nowhere")
    values = ProcessSource(nowhere)()
    assert values[Series.THREADS] == threading.active_count()
    assert values[Series.RSS] > MEGABYTE
    around = SystemSource(proc=nowhere, groups=nowhere)()
    assert set(around) == {Series.AVAILABLE, Series.LIMIT}
    assert around[Series.LIMIT] == psutil.virtual_memory().total
    assert SystemSource(123, proc=nowhere, groups=nowhere)()[Series.LIMIT] == 123


@needs_heap_figures
def test_native_memory_is_live() -> None:
    """What malloc has handed out counts, mapped blocks included, and is gone when it is freed."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    source = HeapSource()
    gc.collect()
    before = source()
    big, small = libc.malloc(64 * MEGABYTE), [libc.malloc(1000) for _ in range(32_000)]
    during = source()
    libc.free(big)
    for address in small:
        libc.free(address)
    after = source()
    assert during[Series.HEAP_USED] - before[Series.HEAP_USED] == pytest.approx(96 * MEGABYTE, rel=0.05)
    assert during[Series.HEAP_MAPPED] - before[Series.HEAP_MAPPED] == pytest.approx(64 * MEGABYTE, rel=0.01)
    assert abs(after[Series.HEAP_USED] - before[Series.HEAP_USED]) < 2 * MEGABYTE


@needs_heap_figures
def test_python_objects_are_blocks_and_live() -> None:
    """Small objects, which malloc never sees, raise the blocks and with them the live bytes."""
    source = HeapSource()
    gc.collect()
    before = dict(source())
    source.live({**before, Series.PYTHON_USED: before[Series.PYTHON_BLOCKS] * 64})
    planted = [(number, str(number)) for number in range(1000, 201_000)]
    during = dict(source())
    live = source.live(during)[Series.LIVE] - during[Series.HEAP_USED]
    assert during[Series.PYTHON_BLOCKS] - before[Series.PYTHON_BLOCKS] == pytest.approx(3 * len(planted), rel=0.02)
    assert live == pytest.approx(during[Series.PYTHON_BLOCKS] * 64)


def test_live_bytes_do_not_jump_with_a_new_reading() -> None:
    """A new reading of Python's bytes corrects the drift since the last one, not the level as a whole."""
    source = HeapSource()

    def live(blocks: float, used: float | None) -> float:
        values = {Series.HEAP_USED: 1e8, Series.PYTHON_BLOCKS: blocks}
        return source.live(values if used is None else values | {Series.PYTHON_USED: used})[Series.LIVE]

    first = live(1e6, 8e7)
    assert first == 1.8e8
    assert live(1.01e6, 8e7) == 1.808e8
    # Blocks of another size came: the mean shifts, the curve only by what was wrong since the last reading.
    assert live(1.01e6, 8.2e7) == 1.82e8
    assert live(1.01e6, 8.2e7) == 1.82e8


def test_live_bytes_without_a_ledger() -> None:
    """Where Python's bytes are not read the blocks count at a typical size, after a while."""
    source = HeapSource()
    values = {Series.HEAP_USED: 1e8, Series.PYTHON_BLOCKS: 1e6}
    assert source.live(values) == {}
    for _ in range(20):
        last = source.live(values)
    assert last[Series.LIVE] == pytest.approx(1.9e8)
    assert HeapSource().live({Series.PYTHON_BLOCKS: 1e6}) == {}


def test_collections_are_timed() -> None:
    """A run of the collector is in the histogram, the sums and the list, with what it found."""
    recorder = PauseRecorder(lambda: 123.0)
    gc.collect()
    recorder.start()
    recorder.start()
    for _ in range(50):
        ring: list[object] = []
        ring.append(ring)
    del ring
    gc.collect()
    recorder.close()
    gc.collect()
    recorder.close()
    full = [pause for pause in recorder.recent() if pause.generation == 2]
    assert len(full) == 1
    assert full[0].collected >= 50
    assert full[0].time == 123.0
    assert full[0].uncollectable == 0
    buckets, seconds = recorder.pauses()[2]
    assert sum(buckets) == 1
    assert len(buckets) == len(recorder.bounds) + 1
    assert seconds == full[0].seconds > 0
    control = GCControl(Clock(), LedgerBuilder(Clock()), recorder, NullEventSink())
    values = collector_columns(control.counts(), recorder.pauses())
    assert values[Series.GC_RUNS_2] == gc.get_stats()[2]["collections"]
    assert values[Series.GC_PAUSE] == pytest.approx(sum(of for _, of in recorder.pauses().values()))


def test_the_list_of_pauses_is_bounded_and_in_order() -> None:
    """After many collections the newest are listed, oldest first, and the sums still hold all of them."""
    ticks = iter(range(10_000))
    recorder = PauseRecorder(lambda: float(next(ticks)))
    for number in range(2500):
        recorder._record("start", {})
        recorder._record("stop", {"generation": number % 3, "collected": number, "uncollectable": 0})
    recent = recorder.recent()
    assert [pause.collected for pause in recent] == list(range(1500, 2500))
    assert [pause.collected for pause in recorder.recent(3)] == [2497, 2498, 2499]
    assert sum(sum(buckets) for buckets, _ in recorder.pauses().values()) == 2500


def test_recording_a_collection_makes_no_garbage() -> None:
    """The recorder runs inside the collector: objects that stay behind would be a leak of our own."""
    recorder = PauseRecorder(lambda: 1.0)
    info = {"generation": 0, "collected": 5, "uncollectable": 0}
    for _ in range(1100):
        recorder._record("start", info)
        recorder._record("stop", info)
    before = sys.getallocatedblocks()
    for _ in range(5000):
        recorder._record("start", info)
        recorder._record("stop", info)
    assert sys.getallocatedblocks() - before < 200


def group_files(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_container_of_version_2_is_found(tmp_path: Path) -> None:
    """The tightest limit on the way up counts; files that the kernel can drop do not count as used."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    group_files(proc / "self", cgroup="0::/system.slice/millpond.service\n")
    group_files(root / "system.slice", memory__max="900\n")
    group_files(
        root / "system.slice" / "millpond.service",
        memory__current="1000\n",
        memory__max="max\n",
        memory__stat="anon 600\nfile 400\ninactive_file 250\nactive_file 150\n",
    )
    group = find_group(str(proc), str(root))
    assert group is not None
    assert group.used_bytes() == 750
    assert group.limit_bytes() == 900
    values = SystemSource(proc=str(proc), groups=str(root))()
    assert values[Series.GROUP_LIMIT] == values[Series.LIMIT] == 900


def test_a_container_sees_its_own_group_at_the_root(tmp_path: Path) -> None:
    """Inside a container the path is often one of the host, which is not there."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    group_files(proc / "self", cgroup="0::/../../docker/0123\n")
    group_files(root, memory__current="1000\n", memory__max="5000\n", memory__stat="inactive_file 1\n")
    group = find_group(str(proc), str(root))
    assert group is not None
    assert (group.used_bytes(), group.limit_bytes()) == (999, 5000)


def test_a_container_of_version_1_is_found(tmp_path: Path) -> None:
    """The old layout has other names, and the greatest number of pages for "no limit"."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    group_files(proc / "self", cgroup="5:cpu:/\n4:memory:/docker/0123\n0::/\n")
    group_files(
        root / "memory" / "docker" / "0123",
        memory__usage_in_bytes="1000\n",
        memory__limit_in_bytes="9223372036854771712\n",
        memory__stat="cache 400\ninactive_file 1\ntotal_inactive_file 300\n",
    )
    group = find_group(str(proc), str(root))
    assert group is not None
    assert group.used_bytes() == 700
    assert group.limit_bytes() is None
    values = SystemSource(proc=str(proc), groups=str(root))()
    assert values[Series.LIMIT] == psutil.virtual_memory().total
    assert Series.GROUP_LIMIT not in values


def test_pressure_and_available_memory_are_read(tmp_path: Path) -> None:
    """Pressure is a share of time, available memory is in bytes."""
    group_files(
        tmp_path / "pressure",
        memory="some avg10=12.50 avg60=1.00 avg300=0.00 total=5\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=1\n",
    )
    group_files(tmp_path, meminfo="MemTotal:       2048 kB\nMemFree:  1 kB\nMemAvailable:       1024 kB\n")
    values = SystemSource(proc=str(tmp_path), groups=str(tmp_path))()
    assert values[Series.PRESSURE] == 0.125
    assert values[Series.AVAILABLE] == MEGABYTE


def test_a_machine_without_a_gpu_pays_nothing(tmp_path: Path) -> None:
    """Neither torch nor the driver's library is imported to find that there is no GPU."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from services.memory.sampling.sources import DeviceSource, torch_columns\n"
        f"source = DeviceSource(Path({str(tmp_path / 'none')!r}))\n"
        "print(dict(source()), dict(torch_columns()), {'torch', 'pynvml'} & set(sys.modules))\n"
        "source.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{} {} set()"


def test_a_driver_that_does_not_answer_is_no_failure(tmp_path: Path) -> None:
    """A driver's file without a working driver means no figures, asked for once."""
    driver = tmp_path / "nvidiactl"
    driver.touch()
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a working driver")
    source = DeviceSource(driver)
    assert source() == {}
    driver.unlink()
    assert source() == {}
    source.close()


@pytest.mark.gpu
def test_gpu_memory_is_told_by_torch_and_by_the_driver() -> None:
    """256 MB on the device appear in torch's figures and in the driver's."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    assert torch_columns() == {} or torch.cuda.is_initialized()
    devices = DeviceSource()
    torch.zeros(1, device="cuda")
    before, device_before = torch_columns(), devices()
    planted = torch.zeros(256 * MEGABYTE, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    after, device_after = torch_columns(), devices()
    devices.close()
    assert after[Series.GPU_ALLOCATED] - before[Series.GPU_ALLOCATED] == planted.nbytes
    assert after[Series.GPU_RESERVED] >= after[Series.GPU_ALLOCATED]
    assert after[Series.GPU_PEAK] >= after[Series.GPU_ALLOCATED]
    assert device_after[Series.GPU_USED] - device_before[Series.GPU_USED] >= 0.9 * planted.nbytes
    assert device_after[Series.GPU_TOTAL] > device_after[Series.GPU_USED]
    assert 0 <= device_after.get(Series.GPU_BUSY, 0.0) <= 1
