"""Stand-ins for ssh and rsync: the other machine is a directory of this one, which is its home directory.

``remote_tools.py ssh|rsync ARGUMENT...`` with WORKSTATION (that directory, whose known_hosts lists the hosts whose key
is known). A command given to ssh is really run, by a shell, in a session of its own and in a bare environment; like the
real ones they end with 255 where a host key is not known, and a command's input ends when ssh does.
"""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

HOME = Path(os.environ["WORKSTATION"])


def ssh(arguments: list[str]) -> int:
    options = []
    while arguments[0] == "-o":
        options.append(arguments[1])
        arguments = arguments[2:]
    host, *words = arguments[1:] if arguments[0] == "--" else arguments
    command = " ".join(words)
    if not {"StrictHostKeyChecking=yes", "BatchMode=yes"} <= set(options):
        print("would ask whether to trust the host", file=sys.stderr)
        return 255
    if host not in (HOME / "known_hosts").read_text().split():
        print("Host key verification failed.", file=sys.stderr)
        return 255
    remote = subprocess.Popen(
        ["sh", "-c", command],
        cwd=HOME,
        env={"PATH": os.environ["PATH"], "HOME": str(HOME)},
        stdin=subprocess.PIPE,
        start_new_session=True,
    )

    def pass_on() -> None:
        while data := os.read(0, 1 << 16):
            os.write(remote.stdin.fileno(), data)
        remote.stdin.close()

    threading.Thread(target=pass_on, daemon=True).start()
    return remote.wait()


def rsync(arguments: list[str]) -> int:
    assert arguments[:4] == ["-a", "--partial", "--delete", "-s"]
    assert arguments[4] == "-e"
    assert arguments[6] == "--"
    *sources, target = arguments[7:]
    for host in {name.split(":")[0] for name in (*sources, target) if ":" in name}:
        shell = arguments[5].split()
        code = subprocess.run([*shell, host, "true"], stdin=subprocess.DEVNULL, check=False).returncode
        if code != 0:
            return code
    assert target.endswith("/")
    for source in map(place, sources):
        destination = place(target) / source.name
        if not place(target).is_dir() or not source.exists():
            print(f"rsync: {source} to {target}: No such file or directory", file=sys.stderr)
            return 23
        if source.is_dir():
            shutil.rmtree(destination, ignore_errors=True)
            shutil.copytree(source, destination)
        else:
            shutil.copy2(source, destination)
    return 0


def place(name: str) -> Path:
    """A path as rsync takes it: HOST:PATH is below the home directory there."""
    return HOME / name.split(":", 1)[1] if ":" in name else Path(name)


if __name__ == "__main__":
    raise SystemExit({"ssh": ssh, "rsync": rsync}[sys.argv[1]](sys.argv[2:]))
