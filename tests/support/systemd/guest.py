"""A real systemd, booted as PID 1 in namespaces of its own on a throw-away overlay of the machine's files.

    with Guest.boot(tmp_path, binds={"/opt/ingestd": venv}) as guest:
        guest.write("/etc/systemd/system/x.service", "...")
        guest.run("systemctl", "start", "x")
        guest.journal.wait("x.service", "^Started")

What the guest writes goes to memory and is gone with it; its network is a loopback of its own. It shares the
kernel: seccomp, user namespaces, watchdog, credentials, DynamicUser and socket activation are the real ones.
Memory and CPU limits are not: it is given no such controllers.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.systemd.journal import Journal
from tests.support.waiting import FAR

SCRIPT = Path(__file__).with_name("boot.sh")
SYSTEMD = Path("/lib/systemd/systemd")
TOOLS = ("unshare", "nsenter", "setpriv", "pivot_root", "mount", "journalctl", "systemctl")
CGROUPS = Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000


def missing() -> str | None:
    """Why no systemd can be booted here, or None when one can."""
    if os.geteuid() != 0:
        return "booting a systemd needs root (mounts, namespaces)"
    if not SYSTEMD.exists():
        return f"booting a systemd needs {SYSTEMD}"
    for tool in TOOLS:
        if not shutil.which(tool):
            return f"booting a systemd needs {tool}"
    probe = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w && mount -t overlay overlay -o "
    probe += "lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt && mount -t cgroup2 cgroup2 /mnt/mnt"
    flags = ("--fork", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup")
    tried = subprocess.run(
        ["unshare", *flags, "sh", "-c", probe], capture_output=True, text=True, timeout=FAR
    )
    return f"no namespaces or mounts here: {tried.stderr.strip()}" if tried.returncode else None


class Guest:
    """The booted systemd. `boot` makes one and takes it down, whatever happened inside."""

    def __init__(self, pid: int, journal: Journal) -> None:
        self.pid = pid
        self.journal = journal

    @classmethod
    @contextlib.contextmanager
    def boot(cls, directory: Path, binds: Mapping[str, Path] | None = None) -> Iterator[Guest]:
        """Boot with the directories `binds` (path in the guest: path here) mounted read-only.

        `directory` must be short (a socket's path has 107 bytes). Raises AssertionError with what was printed
        when the guest has not come up after FAR.
        """
        group = f"ingestd-test-{os.getpid()}-{directory.name}"
        with contextlib.ExitStack() as stack:
            _remove_abandoned()
            stack.callback(remove_cgroups, group)
            process = stack.enter_context(_started(directory, group, binds or {}))
            pid_one = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
            # Not unshare: the kernel ends every process of the namespace before its PID 1 is gone, and only
            # then does unshare return.
            stack.callback(_end, pid_one, process)
            journal = Journal(_enter(pid_one))
            stack.callback(journal.close)
            guest = cls(pid_one, journal)
            guest.run("systemctl", "log-level", "debug")
            yield guest

    def run(self, *command: str, check: bool = True, stdin: str = "", timeout: float = FAR) -> Result:
        """Run a command in the guest as root. Raises AssertionError when it fails and `check`."""
        result = subprocess.run(
            [*_enter(self.pid), *command], input=stdin, capture_output=True, text=True, timeout=timeout
        )
        if check and result.returncode:
            said = f"{result.stdout}{result.stderr}"
            raise AssertionError(f"{command} exited {result.returncode}: {said}\n{self.journal.tail()}")
        return result

    def systemctl(self, *arguments: str, check: bool = True) -> Result:
        """`systemctl ARGUMENTS`."""
        return self.run("systemctl", *arguments, check=check)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--value", "--property", name, unit).stdout.strip()

    def main_pid(self, unit: str) -> int:
        """A service's main process, in the guest's numbering; 0 when there is none."""
        return int(self.show(unit, "MainPID"))

    def path(self, path: str) -> Path:
        """A guest's path as seen from here, to read, write or connect to; no absolute symlinks in it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in the guest, with its directories."""
        there = self.path(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)
        there.chmod(mode)

    def connect(self, path: str, timeout: float = FAR) -> socket.socket:
        """A connection to a stream socket in the guest, made as root."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(timeout)
        client.connect(str(self.path(path)))
        return client

    def connect_tcp(self, port: int, timeout: float = FAR) -> socket.socket:
        """A connection to a port of the guest's own loopback."""
        opened: list[socket.socket] = []

        def enter_and_open() -> None:
            # A namespace is a thread's, and a socket stays in the one where it was made.
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.pid}/ns/net") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            opened.append(socket.socket(socket.AF_INET))

        thread = threading.Thread(target=enter_and_open)
        thread.start()
        thread.join()
        opened[0].settimeout(timeout)
        opened[0].connect(("127.0.0.1", port))
        return opened[0]


Result = subprocess.CompletedProcess[str]


def _enter(pid: int) -> list[str]:
    inside = ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
    # nsenter forks to enter the namespace of processes: without this its child would outlive it.
    together = ["setpriv", "--pdeathsig", "KILL", "--"]
    clean = [
        "env",
        "-i",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        "SYSTEMD_COLORS=0",
        "SYSTEMD_PAGER=",
    ]
    return [*inside, "--root", "--wd", "--", *together, *clean]


@contextlib.contextmanager
def _started(directory: Path, group: str, binds: Mapping[str, Path]) -> Iterator[subprocess.Popen[bytes]]:
    stage, told = directory / "stage", directory / "stage.notify"
    stage.mkdir()
    told.mkdir()
    pairs = [f"{here}:{there}" for there, here in binds.items()]
    output = directory / "boot.log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, output.open("wb") as log:
        ready.bind(str(told / "socket"))
        ready.settimeout(FAR)
        process = subprocess.Popen(
            [str(SCRIPT), "outside", group, str(stage), *pairs],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            while b"READY=1" not in ready.recv(4096):
                pass
        except TimeoutError:
            process.kill()
            process.wait()
            raise AssertionError(f"no systemd after {FAR} s: {output.read_text()}") from None
    # The socket is closed by now: PID 1 goes on telling, for one thing at every daemon-reload, and would wait
    # for a reader.
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _end(pid_one: int, process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid_one, signal.SIGKILL)
    process.wait()


def remove_cgroups(group: str) -> None:
    """Remove a guest's cgroups; nothing may run in them any more."""
    for top in [*CGROUPS.glob(group), *CGROUPS.glob(f"*/{group}")]:
        for directory in sorted(top.glob("**/"), reverse=True):
            directory.rmdir()


def _remove_abandoned() -> None:
    """The cgroups of test runs that were killed; their guests went with them."""
    for top in [*CGROUPS.glob("ingestd-test-*"), *CGROUPS.glob("*/ingestd-test-*")]:
        if not Path(f"/proc/{top.name.split('-')[2]}").exists():
            remove_cgroups(top.name)
