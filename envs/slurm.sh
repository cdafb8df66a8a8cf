#!/bin/sh
# Install Slurm and munge if they are missing and apt-get can be used. Only `make test-slurm` needs them.
set -eu
PACKAGES="slurm-wlm munge"
PATH=$PATH:/usr/sbin

complete() { command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null; }

complete && exit 0
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "Installing Slurm: $PACKAGES"
    run=""
    [ "$(id -u)" = 0 ] || run=sudo
    # shellcheck disable=SC2086 - a list of words
    if $run apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $PACKAGES >/dev/null; then
        complete && exit 0
    fi
fi
echo "Slurm is incomplete: install $PACKAGES or their equivalents. Without them the tests on Slurm are skipped" >&2
