#!/bin/sh
# Writes the lock files from pyproject.toml: exact versions with hashes, for every platform, without torch (the Makefile
# installs that first) and without the place that they were downloaded from. Usage: sh deploy/lock.sh PATH_TO_UV
set -eu
uv=$1
options="--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet"
torch="--no-emit-package torch"
# shellcheck disable=SC2086 # the options are a list
"$uv" pip compile pyproject.toml $options $torch --output-file requirements.lock
# shellcheck disable=SC2086
"$uv" pip compile pyproject.toml --extra gguf $options $torch --constraint requirements.lock --output-file requirements-gguf.lock
# shellcheck disable=SC2086
"$uv" pip compile pyproject.toml --extra gguf --group test $options $torch --constraint requirements.lock --output-file requirements-test.lock
