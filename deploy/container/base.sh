#!/bin/sh
# Make base images without a registry: root file systems of Debian with Python, out of Debian's packages.
#   base.sh FOLDER   makes localhost/millpond-base and localhost/millpond-build-base; needs root, debootstrap and buildah.
# The second one can make virtual environments as well; nothing of that is in the first one, which the image is built on.
# Once made they are kept, in FOLDER and in buildah's storage.
set -eu
folder=$1
suite=${SUITE:-bookworm}
mirror=${MIRROR:-http://deb.debian.org/debian}

made() { buildah --storage-driver vfs inspect --type image "$1" >/dev/null 2>&1; }

root_file_system() { # name, packages
    [ -e "$folder/$1.made" ] && return
    rm -rf --one-file-system "${folder:?}/$1"
    # In a namespace of its own, so that nothing of this machine stays mounted in the folder.
    unshare --mount debootstrap --variant=minbase --include="$2" "$suite" "$folder/$1" "$mirror" >"$folder/$1.log" 2>&1 ||
        { tail -n 20 "$folder/$1.log"; exit 1; }
    # What nobody reads in a container, and devices, which its runtime makes.
    rm -rf --one-file-system "$folder/$1/var/lib/apt/lists" "$folder/$1/var/cache/apt" "$folder/$1/var/log" "$folder/$1/usr/share/doc" \
        "$folder/$1/usr/share/man" "$folder/$1/usr/share/locale" "$folder/$1/usr/share/info" "$folder/$1/dev" \
        "$folder/$1/proc" "$folder/$1/sys"
    mkdir -p "$folder/$1/dev" "$folder/$1/proc" "$folder/$1/sys" "$folder/$1/var/log" "$folder/$1/var/cache/apt" \
        "$folder/$1/var/lib/apt/lists"
    touch "$folder/$1.made"
}

image() { # name of the folder, name of the image
    made "$2" && return
    container=$(buildah --storage-driver vfs from scratch)
    buildah --storage-driver vfs add --quiet "$container" "$folder/$1" / >/dev/null
    buildah --storage-driver vfs commit --quiet --rm "$container" "$2" >/dev/null
}

mkdir -p "$folder"
root_file_system base ca-certificates,python3
image base localhost/millpond-base
root_file_system build-base ca-certificates,python3,python3-venv
image build-base localhost/millpond-build-base
