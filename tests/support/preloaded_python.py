"""A `python` whose large libraries are imported already, for tests that start many scripts.

Importing torch, transformers, pandas and matplotlib takes most of the time of a tiny job. A server imports them once.
The program ``python`` in the folder of the server hands its arguments, environment, working directory, stdout and
stderr to the server, which forks, runs the script and returns its exit status. The package itself is never preloaded.
Signals end the program, not the script, so tests that kill processes use the ordinary Python.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

LIBRARIES = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.generation",
    "tokenizers",
    "safetensors.torch",
    "scipy.stats",
    "pandas",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_pdf",
    "jinja2",
    "jsonschema",
    "yaml",
    "snakemake.cli",
)
MAX_CALL = 2**20  # bytes
PROGRAM = """\
#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, {size})
server.connect({address!r})
call = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}}
socket.send_fds(server, [json.dumps(call).encode()], [1, 2])
sys.exit(int(server.recv(8) or b"1"))
"""


class PreloadedPython:
    """Start the server in ``folder`` and end it with ``stop``; ``program`` is the path of its ``python``."""

    def __init__(self, folder: Path):
        address, self.program = folder / "socket", folder / "python"
        self.program.write_text(PROGRAM.format(python=sys.executable, address=str(address), size=MAX_CALL))
        self.program.chmod(0o755)
        command = [sys.executable, __file__, str(address), str(self.program)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE)
        while not address.exists():
            assert self._server.poll() is None, "the server of the preloaded Python has ended"
            time.sleep(0.05)

    def stop(self) -> None:
        self._server.communicate()


def serve(address: str, program: str) -> None:
    """Answer each call in a forked process, until the process that started the server closes its stdin or ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # a collection in a job skips the objects of the libraries
    sys.path.pop(0)  # the folder of this file
    sys.executable = program
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, reap)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(caller)
        caller.close()


def reap(*_: object) -> None:
    """Wait for the processes that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def answer(caller: socket.socket) -> None:
    """Run a call in a process of its own and send its exit status."""
    content, descriptors, _, _ = socket.recv_fds(caller, MAX_CALL, 2)
    job = os.fork()
    if job == 0:
        caller.close()
        os.dup2(descriptors[0], 1)
        os.dup2(descriptors[1], 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)  # the stdout of the server may be another kind of file
        os._exit(run(**json.loads(content)))
    status = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    caller.send(str(status if status >= 0 else 128 - status).encode())
    os._exit(0)


def run(arguments: list[str], environment: dict[str, str], folder: str) -> int:
    """Do what ``python ARGUMENTS`` does, where they are ``-m MODULE`` or the name of a script; return the status."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    is_module = arguments[0] == "-m"
    sys.argv = arguments[1:] if is_module else arguments
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [os.getcwd() if is_module else os.path.dirname(os.path.abspath(arguments[0])), *paths]
    try:
        if is_module:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve(*sys.argv[1:])
