#!/bin/sh
# Installs deployer, checker and the emulator of `deployer up --local` from a release, after comparing checksums: into ~/.local, unless
# told otherwise.
#
#   sh install.sh [--prefix FOLDER] [--version VERSION] [--from URL-OR-FOLDER] [deployer] [checker] [emulator]
set -eu

# A release fills these in.
releases='@RELEASES@'
version='@VERSION@'
prefix='' from=''

fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '  hint: %s\n' "$2" >&2
    exit 1
}
usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

while [ "$#" -gt 0 ]; do
    case "$1" in
    --prefix | --version | --from)
        [ "$#" -gt 1 ] || usage
        case "$1" in
        --prefix) prefix="$2" ;;
        --version) version="${2#v}" ;;
        --from) from="$2" ;;
        esac
        shift 2
        ;;
    -*) usage ;;
    *) break ;;
    esac
done

case "$version" in
@*) fail 'no version is named' 'name it: --version VERSION' ;;
esac
if [ -z "$from" ]; then
    case "$releases" in
    @*) fail 'this copy of the script belongs to no release' 'name where the archives are: --from URL-OR-FOLDER' ;;
    esac
    from="$releases/v$version"
fi

if [ -z "$prefix" ]; then
    [ -n "${HOME:-}" ] || fail 'there is no home folder' 'name where to install: --prefix FOLDER'
    prefix="$HOME/.local"
fi
machine="$(uname -m)"
case "$machine" in
arm64) machine=aarch64 ;;
amd64) machine=x86_64 ;;
esac
case "$(uname -s)" in
Linux) systems='unknown-linux-musl unknown-linux-gnu' ;;
Darwin) systems='apple-darwin' ;;
*) fail "there are no programs for $(uname -s)" 'build them: cargo install --locked --path deployer' ;;
esac
if [ "$#" = 0 ]; then
    # The emulator brings a Python, and that needs glibc. The deployer starts containers, so it is made for Linux.
    case "$(echo /lib*/ld-linux*)" in
    *'*'*) set -- deployer checker ;;
    *) set -- deployer checker emulator ;;
    esac
    [ "$systems" != apple-darwin ] || set -- checker
fi

work="$(mktemp -d)"
# What is installed is for all users who may see the folder.
umask 022
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Fetches a file of the release. `fetch NAME`
fetch() {
    case "$from" in
    *://*)
        # What starts with TLS is not redirected to where there is none.
        protocols='=http,https'
        [ "${from#https://}" = "$from" ] || protocols='=https'
        if command -v curl >/dev/null; then
            curl --fail --silent --show-error --location --proto "$protocols" --retry 3 --connect-timeout 15 --max-time 600 --output "$work/$1" "$from/$1"
        elif command -v wget >/dev/null; then
            # Without a time limit of its own: that of BusyBox 1.35 ends it with a segmentation fault.
            limit='timeout 600'
            command -v timeout >/dev/null || limit=''
            # shellcheck disable=SC2086 # Words.
            $limit wget -q -O "$work/$1" "$from/$1"
        else
            fail 'neither curl nor wget is installed' 'install one of them'
        fi
        ;;
    *) cp "$from/$1" "$work/$1" ;;
    esac || fail "cannot fetch $1 from $from" 'is the version right, and the network up?'
}

if command -v sha256sum >/dev/null; then
    sha256() { sha256sum "$1"; }
elif command -v shasum >/dev/null; then
    sha256() { shasum -a 256 "$1"; }
else
    fail 'neither sha256sum nor shasum is installed' 'install one of them'
fi

fetch SHA256SUMS
for program in "$@"; do
    name=''
    for system in $systems; do
        archive="$program-$version-$machine-$system.tar.gz"
        # Two spaces, or a space and an asterisk, then the whole name.
        expected="$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")"
        [ -z "$expected" ] || {
            name="$archive"
            break
        }
    done
    hint='build it: cargo install --locked --path FOLDER'
    [ "$program" != emulator ] || hint='without it, `deployer up --local` makes one with Python 3.10 or newer'
    [ -n "$name" ] || fail "release $version has no $program for $(uname -s) on $machine" "$hint"
    fetch "$name"
    found="$(sha256 "$work/$name")"
    [ "${found%% *}" = "$expected" ] || fail "$name is not what the release published" 'its checksum differs: try again, and report it if it happens again'
    tar -xzf "$work/$name" -C "$work" || fail "cannot unpack $name in $work" 'is there room? TMPDIR names another folder'
done
# Nothing is installed unless everything is there.
cannot_write() { fail "cannot write to $prefix" 'name another folder: --prefix FOLDER'; }
mkdir -p "$prefix/bin" || cannot_write
# Folders of the prefix may be links.
files() {
    (cd "$1" && find . -type d) | while IFS= read -r name; do mkdir -p "$2/$name" || exit 1; done
    (cd "$1" && find . -type f) | while IFS= read -r name; do cp "$1/$name" "$2/$name" || exit 1; done
}
# Does a program of this folder run?
runs() {
    for program_of in /proc/[0-9]*/exe; do
        case "$(readlink "$program_of" 2>/dev/null)" in
        "$1/"*) return 0 ;;
        esac
    done
    return 1
}
for program in "$@"; do
    folder="$(echo "$work/$program-$version-$machine-"*/)"
    folder="${folder%/}"
    if [ "$program" = emulator ]; then
        # Where the deployer looks, which knows itself by its real path.
        lib="$(cd "$prefix/bin" && cd -P .. && pwd)/lib/deployer"
        mkdir -p "$lib" || cannot_write
        new="$(echo "$folder/lib/deployer/"emulator-*)"
        installed="$lib/${new##*/}"
        ready="$(mktemp -d "$lib/.new.XXXXXX")" || cannot_write
        { cp -R "$new" "$ready/new" && chmod 755 "$ready/new"; } || cannot_write
        # One that runs keeps its files for as long as it does: it is moved away, not written over. So do those of other releases.
        for old in "$lib/"emulator-*; do
            [ -e "$old" ] || continue
            if [ "$old" = "$installed" ]; then
                mv "$old" "$ready/old" || cannot_write
            elif ! runs "$old"; then
                rm -rf "$old"
            fi
        done
        { mv "$ready/new" "$installed" && rm -rf "$ready" "$new"; } || cannot_write
        rm -r "${folder:?}/lib"
        files "$folder" "$prefix" || cannot_write
        printf 'installed %s\n' "$installed"
        continue
    fi
    # Last, and by its name: a program that runs is replaced, and one that fails to be copied leaves the former.
    mv "$folder/bin/$program" "$work/program"
    { files "$folder" "$prefix" && cp "$work/program" "$prefix/bin/.$program.new" && mv -f "$prefix/bin/.$program.new" "$prefix/bin/$program"; } ||
        cannot_write
    printf 'installed %s\n' "$prefix/bin/$program"
done
case ":$PATH:" in
*":$prefix/bin:"*) ;;
*)
    # shellcheck disable=SC2016 # For the user's shell.
    printf 'add it to PATH: export PATH="%s/bin:$PATH"\n' "$prefix"
    ;;
esac
