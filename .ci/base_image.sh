#!/usr/bin/env bash
# Makes the images that the Dockerfile starts from, where no registry can be reached: Debian with its own
# Python 3.11, by debootstrap. Prints the variables that make Compose use them:
#
#   eval "$(.ci/base_image.sh)"
#
# Two images, so that this machine's CA bundle (named by PIP_CERT) is known where wheels are fetched and
# nowhere in what is shipped: the runtime starts from the first, only the build stage from the second.
set -euo pipefail

readonly base=gmobot-base:bookworm builder=gmobot-base:bookworm-builder
readonly mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

if ! docker image inspect "$base" >/dev/null 2>&1; then
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/root" "$mirror" >&2
    # Package lists, archives and documentation are for installing more, which nobody does.
    rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}/*
    tar -C "$work/root" -c . | docker import - "$base" >&2
fi

mkdir "$work/context"
cp "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$work/context/ca.pem"
printf '%s\n' "FROM $base" 'COPY ca.pem /etc/ssl/build-ca.pem' 'ENV PIP_CERT=/etc/ssl/build-ca.pem' >"$work/context/Dockerfile"
docker build -q -t "$builder" "$work/context" >&2

printf 'export PYTHON_IMAGE=%s BUILDER_IMAGE=%s\n' "$base" "$builder"
