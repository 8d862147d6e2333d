"""A Slurm cluster of two nodes on this machine, for tests: private daemons in a folder of their own, nothing of the system's.

`python tests/slurm_cluster.py FOLDER` starts one, prints how to use it, and ends it on Ctrl-C.
"""

import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacct")
NODES = ("node1", "node2")
SBIN = "/usr/sbin"

SLURM_CONF = """
ClusterName=gpatlas
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmctldParameters=enable_configless
SlurmdParameters=config_overrides
SlurmdTimeout=5
KillWait=2
ReturnToService=2
ProctrackType=proctrack/linuxproc
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
{memory_limit}
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=1,sched_min_interval=10000
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/munge.socket
AccountingStoreFlags=job_comment
MpiDefault=none
GresTypes=gpu
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node1_port} CPUs=4 RealMemory=16000 Gres=gpu:1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={node2_port} CPUs=4 RealMemory=16000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=other Nodes=node2 MaxTime=60 State=UP
PartitionName=urgent Nodes=ALL PriorityTier=2 State=UP
"""
SLURMDBD_CONF = """
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
"""
CGROUP_CONF = """
CgroupAutomount=no
CgroupPlugin=cgroup/v1
ConstrainRAMSpace=yes
"""


def missing_programs() -> list[str]:
    """What a cluster needs and this machine lacks."""
    return [program for program in PROGRAMS if _which(program) is None]


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SBIN}")


class Cluster:
    """The daemons, by name: munged, mariadbd, slurmdbd, slurmctld, node1, node2. Each is a process that may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "MYSQL_UNIX_PORT": str(folder / "mysql.socket")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Cluster":
        self._configure()
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(self, *command: str) -> str:
        """What a command of Slurm prints."""
        answer = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if answer.returncode:
            raise RuntimeError(f"{command}: {answer.stderr}")
        return answer.stdout

    def queue(self) -> list[str]:
        """The jobs that are waiting or running: 'id name state'."""
        return self.client("squeue", "--noheader", "--format=%A %j %T").splitlines()

    def start(self, name: str) -> None:
        """Start the daemon and wait until it answers."""
        command, answers = self._daemons()[name]
        program = _which(command[0])
        assert program is not None
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [program, *command[1:]], env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._wait_for(name, answers)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End the daemon by this signal."""
        self.processes[name].send_signal(number)
        self.processes[name].wait()

    def save(self, job: str) -> None:
        """Have the controller write to its disk what it knows, of this job and all others."""
        path = self.folder / "state" / "job_state"
        before = _changed(path)
        self.client("scontrol", "update", f"JobId={job}", "Nice=0")
        self._wait_for("slurmctld", lambda: _changed(path) not in (0, before))

    def lose(self, node: str) -> None:
        """Kill the node's daemon and, before they can tell anybody, its jobs with all their processes."""
        self.kill(node)
        jobs = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _of_job_on(node, path)]
        keepers = {_parent(pid) for pid in jobs} - set(jobs) - {0, 1}
        for pid in [*keepers, *jobs]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End everything, jobs first."""
        with suppress(OSError, RuntimeError):
            self.client("scancel", "--state=PENDING", f"--user={_user()}")
            self.client("scancel", "--signal=KILL", "--full", f"--user={_user()}")
        for name in reversed(list(self.processes)):
            self.processes[name].terminate()
        for name, process in self.processes.items():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                print(f"{name} does not end; killed", file=sys.stderr)
                process.kill()
                process.wait()

    def _configure(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("state", "mysql", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir(exist_ok=True)
        names = ("ctld_port", "dbd_port", *(f"{node}_port" for node in NODES))
        with_cgroup = os.getuid() == 0 and Path("/sys/fs/cgroup/memory").is_dir()
        values = {
            **dict(zip(names, _free_ports(len(names)), strict=True)),
            "host": platform.node(),
            "folder": self.folder,
            "user": _user(),
            "memory_limit": "TaskPlugin=task/cgroup" if with_cgroup else "JobAcctGatherParams=OverMemoryKill",
        }
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (self.folder / "gres.conf").write_text("NodeName=node1 Name=gpu File=/dev/null\n")
        if with_cgroup:
            (self.folder / "cgroup.conf").write_text(CGROUP_CONF)
        for name, text in (("slurmdbd.conf", SLURMDBD_CONF.format(**values)), ("munge.key", secrets.token_hex(512))):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o600)

    def _start_all(self) -> None:
        database = ["mariadb-install-db", f"--datadir={self.folder / 'mysql'}", f"--user={_user()}", "--skip-test-db"]
        subprocess.run(database, check=True, capture_output=True)
        for name in self._daemons():
            self.start(name)
        self._wait_for("nodes", lambda: self.client("sinfo", "--noheader", "--format=%T %D", "--partition=main").split() == ["idle", "2"])

    def _daemons(self) -> dict[str, tuple[list[str], Callable[[], object]]]:
        """The command of each, and what succeeds once it answers."""
        folder, conf = self.folder, str(self.folder / "slurm.conf")
        munge = [f"--{name}={folder / file}" for name, file in MUNGE_FILES.items()]
        mariadb = [f"--datadir={folder / 'mysql'}", f"--socket={folder / 'mysql.socket'}", "--skip-networking", "--skip-grant-tables"]
        return {
            "munged": (["munged", "--foreground", "--force", *munge], (folder / "munge.socket").exists),
            "mariadbd": (["mariadbd", "--no-defaults", f"--user={_user()}", *mariadb], (folder / "mysql.socket").exists),
            "slurmdbd": (["slurmdbd", "-D"], lambda: bool(self.client("sacctmgr", "--noheader", "list", "user"))),
            "slurmctld": (["slurmctld", "-D", "-f", conf], lambda: "UP" in self.client("scontrol", "ping")),
            **{node: (["slurmd", "-D", "-N", node, "-f", conf], lambda: True) for node in NODES},
        }

    def _wait_for(self, name: str, answers: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(RuntimeError):
                if answers():
                    return
            if name in self.processes and self.processes[name].poll() is not None:
                break
            time.sleep(0.05)
        logs = "\n".join(
            path.read_text(errors="replace")[-2000:] for path in self.folder.glob(f"{name}.*") if path.suffix in (".out", ".log")
        )
        raise RuntimeError(f"{name} does not answer\n{logs}")


MUNGE_FILES = {
    "key-file": "munge.key",
    "socket": "munge.socket",
    "pid-file": "munge.pid",
    "seed-file": "munge.seed",
    "log-file": "munge.log",
}


def _changed(path: Path) -> int:
    """When, in nanoseconds; 0 while it is being replaced."""
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0


def _of_job_on(node: str, process: Path) -> bool:
    with suppress(OSError):
        return f"SLURMD_NODENAME={node}".encode() in (process / "environ").read_bytes().split(b"\0")
    return False


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Cluster(Path(sys.argv[1]).resolve()) as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
