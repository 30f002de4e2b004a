#!/bin/sh
# Installs deployer, checker and the emulator of `deployer up --local` from a release, after comparing checksums: into ~/.local, unless
# told otherwise.
#
#   sh install.sh [--prefix FOLDER] [--version VERSION] [--from URL-OR-FOLDER] [deployer] [checker] [emulator]
set -eu

# A release fills these in.
releases='@RELEASES@'
version='@VERSION@'
prefix="$HOME/.local" from=''

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
    [ -n "$name" ] || fail "release $version has no $program for $(uname -s) on $machine" 'build it: cargo install --locked --path FOLDER'
    fetch "$name"
    found="$(sha256 "$work/$name")"
    [ "${found%% *}" = "$expected" ] || fail "$name is not what the release published" 'its checksum differs: try again, and report it if it happens again'
    tar -xzf "$work/$name" -C "$work"
done
# Nothing is installed unless everything is there.
cannot_write() { fail "cannot write to $prefix" 'name another folder: --prefix FOLDER'; }
mkdir -p "$prefix/bin" "$prefix/lib/deployer" || cannot_write
for program in "$@"; do
    folder="$(echo "$work/$program-$version-$machine-"*/)"
    if [ "$program" = emulator ]; then
        # One that runs is moved away, not written over.
        for new in "$folder/lib/deployer/"*/; do
            name="${new%/}"
            installed="$prefix/lib/deployer/${name##*/}"
            rm -rf "$installed.new" "$installed.old"
            cp -R "$new" "$installed.new" || cannot_write
            [ ! -e "$installed" ] || mv "$installed" "$installed.old" || cannot_write
            { mv "$installed.new" "$installed" && rm -rf "$installed.old" "$new"; } || cannot_write
        done
        cp -R "$folder". "$prefix/" || cannot_write
        printf 'installed %s\n' "$installed"
        continue
    fi
    # Last, and by its name: a program that runs is replaced, and one that fails to be copied leaves the former.
    mv "$folder/bin/$program" "$work/program"
    { cp -R "$folder". "$prefix/" && cp "$work/program" "$prefix/bin/.$program.new" && mv -f "$prefix/bin/.$program.new" "$prefix/bin/$program"; } ||
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
