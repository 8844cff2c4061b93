"""File systems of a point's own: one that is small, and one on a loop device that can be shut down like a dying disk.

They are mounted in a mount namespace of the point's process, so they are gone with it, however it ends.
"""

import ctypes
import fcntl
import os
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

SMALL, LARGE = "900k", "64m"  # of the file system of a ledger, before and after space was freed
IMAGE_MB = 24
_CLONE_NEWNS = 0x20000
_SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125  # EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)
LOG_FLUSHED, LOG_LOST = 1, 2  # whether the file system's own journal still reaches the device


def go_apart() -> None:
    """Give this process a mount namespace of its own; raise OSError where it may not have one."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "no mount namespace")
    _run("mount", "--make-rprivate", "/")


def mount_small(place: Path, size: str, how: str = "") -> None:
    """Mount a file system in memory of that size; `how` may be `remount,`."""
    _run("mount", "-t", "tmpfs", "-o", f"{how}size={size},mode=700", "kvot-faults", str(place))


def mount_device(image: Path, place: Path) -> None:
    """Mount an image on a loop device; a new one gets an ext4 first."""
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(IMAGE_MB * 1024 * 1024)
        _run("mkfs.ext4", "-q", "-F", str(image))
    _run("mount", "-o", "loop", str(image), str(place))
    place.chmod(0o700)


def unmount(place: Path) -> None:
    """Take a file system away."""
    _run("umount", str(place))


def shut_down(place: Path, *, log: int) -> None:
    """Shut the file system down under whoever uses it: what it holds in memory is lost, every later call fails."""
    directory = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, _SHUTDOWN, struct.pack("I", log))
    finally:
        os.close(directory)


def missing() -> dict[str, str]:
    """Give what this process cannot do, and why; found out in a child, whose mounts end with it."""
    found = {}
    for name, attempt in (("mount", _try_small), ("device", _try_device)):
        if why := _in_a_child(attempt):
            found[name] = why
    return found


def _try_small(place: Path) -> None:
    mount_small(place, SMALL)
    unmount(place)


def _try_device(place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="kvot-faults-") as beside:
        mount_device(Path(beside) / "image", place)
        shut_down(place, log=LOG_LOST)
        unmount(place)


def _in_a_child(attempt: Callable[[Path], None]) -> str:
    with tempfile.TemporaryDirectory(prefix="kvot-faults-") as place:
        there, here = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                go_apart()
                attempt(Path(place))
            except (OSError, subprocess.CalledProcessError) as error:
                os.write(here, _why(error).encode()[:500])
            finally:
                os._exit(0)
        os.close(here)
        os.waitpid(child, 0)
        with os.fdopen(there, "rb") as pipe:
            return pipe.read().decode()


def _why(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{error.cmd[0]}: {error.stderr.decode(errors='replace').strip() or error.returncode}"
    return f"this process may not: {error}"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
