"""A real Slurm of one node in a separate folder: no systemd, no /etc/slurm, no cgroups, loopback only."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo", "srun")
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
GPUS = 2

# config_overrides allows more cores than the machine has, so that only --exclusive separates jobs.
# MinJobAge keeps finished jobs, which the tests inspect.
SLURM_CONF = """\
ClusterName=dynatree
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
MinJobAge=3600
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=12000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP
"""
# Terminals stand for GPUs, as in the tests of Slurm itself.
GRES_CONF = f"Name=gpu File=/dev/tty[0-{GPUS - 1}]\n"


class Unavailable(Exception):
    """The reason why Slurm cannot start."""


class Cluster:
    """Daemons of Slurm with their files in ``folder``; ``stop`` ends them."""

    def __init__(self, folder: Path):
        missing = [program for program in PROGRAMS if not shutil.which(program, path=PATH)]
        if missing:
            raise Unavailable(f"{', '.join(missing)} missing; `envs/slurm.sh` installs them")
        if os.geteuid():
            raise Unavailable("the daemons of the test have to be started by root")
        self.folder = folder
        self.environment = os.environ | {"PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: list[subprocess.Popen] = []
        try:
            self._start_munge()
            self._configure()
            self._start("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
            self._start("slurmd", "-D", "-f", str(folder / "slurm.conf"))
            self._wait(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%t"))
        except Unavailable:
            self.stop()
            raise

    def ask(self, *command: str) -> str:
        """Return the output of a command of Slurm, empty when it fails."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30).stdout

    def jobs(self) -> list[dict[str, str]]:
        """Return the fields of all jobs in `scontrol show job`."""
        lines = self.ask("scontrol", "--oneliner", "--details", "show", "job").splitlines()
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.startswith("JobId=")]

    def active(self) -> list[str]:
        """Return the ids of the pending and running jobs."""
        return self.ask("squeue", "--noheader", "--format=%i").split()

    def stop(self) -> None:
        self.ask("scancel", "--user=root")
        for daemon in reversed(self.daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _start_munge(self) -> None:
        key, sock = self.folder / "munge.key", self.folder / "munge.socket"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        places = (f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "log", "pid", "seed"))
        self._start("munged", "--foreground", "--force", f"--socket={sock}", *places)
        self._wait(lambda: "MUNGE:" in self.ask("munge", "--no-input", f"--socket={sock}"))

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        content = SLURM_CONF.format(folder=self.folder, host=host, ports=_free_ports(2), gpus=GPUS)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        (self.folder / "slurm.conf").write_text(content)
        (self.folder / "gres.conf").write_text(GRES_CONF)
        version = tuple(map(int, re.findall(r"\d+", self.ask("slurmd", "-V"))[:2]))
        # Before 24.05 cgroups cannot be disabled. The setup of v1 changes nothing, and that of v2 needs systemd.
        plugin = "disabled" if version >= (24, 5) else "cgroup/v1"
        (self.folder / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("w") as log:
            self.daemons.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
            )

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not ready():
            if self.daemons[-1].poll() is not None or time.monotonic() > deadline:
                program = Path(self.daemons[-1].args[0]).name
                log = (self.folder / f"{program}.out").read_text().strip().splitlines()
                raise Unavailable(f"{program} did not start: {log[-1] if log else 'without a message'}")
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
