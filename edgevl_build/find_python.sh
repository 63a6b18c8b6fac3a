#!/bin/sh
# Print the Python that .venv is made with, or say what is missing, one line each, and exit 2.
# $PYTHON, where set, is the only candidate. The ROS 2 wheels exist for x86_64 and for Python 3.10 to 3.13; training
# needs 3.11.
candidates=${PYTHON:-python3.13 python3.12 python3.11 python3}
found=
for candidate in $candidates; do
    # Run it: a version manager's command may exist and yet name no Python.
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        found=$candidate
        break
    fi
done

missing=0
say() {
    echo "make setup: $1" >&2
    missing=1
}
[ "$(uname -m)" = x86_64 ] ||
    say "this machine is $(uname -m), the ROS 2 wheels are x86_64 only: install ROS 2 with apt and run make colcon"
command -v "${CXX:-g++}" >/dev/null ||
    say "${CXX:-g++} is missing, it compiles the ROS messages: apt install g++"
if [ -z "$found" ]; then
    say "no Python 3.11, 3.12 or 3.13 among: $candidates. apt install python3 python3-dev python3-venv, or pass PYTHON=..."
else
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$found" -c 'import os, sysconfig, sys; sys.exit(not os.path.isfile(sysconfig.get_path("include") + "/Python.h"))' ||
        say "Python.h of $found ($version) is missing: apt install python3-dev (or python$version-dev)"
    "$found" -c 'import ensurepip, venv' 2>/dev/null ||
        say "venv or ensurepip of $found ($version) is missing: apt install python3-venv (or python$version-venv)"
fi
[ $missing = 0 ] || exit 2
command -v "$found"
