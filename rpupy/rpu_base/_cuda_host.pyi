from rpupy.rpu_base._cuda import CudaBackend as CudaBackend
from rpupy.rpu_base._cuda import DeviceArray as DeviceArray
from rpupy.rpu_base._cuda import Mark as Mark
from rpupy.rpu_base._cuda import Stream as Stream
from rpupy.rpu_base._cuda import device_count as device_count
from rpupy.rpu_base._cuda import why_unavailable as why_unavailable

def memory_used() -> int: ...
def set_memory_limit(limit: int | None = None) -> None: ...
def run_threads_backwards(backwards: bool) -> None: ...
