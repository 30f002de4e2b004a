#!/usr/bin/env bash
# Makes a stand-in for the image `rust:*-slim` out of this machine's own tools, without a network: the compiler, what links, a shell,
# and the libraries that these need. Usage: base.sh IMAGE
set -euo pipefail
image=$1

sysroot=$(rustc --print sysroot)
target=$(rustc -vV | sed -n 's/^host: //p')
programs=(sh bash uname mkdir cp rm cat ls cc gcc ld as ar)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
list=$work/list
root=$work/root

# What a program needs to run: itself, where links lead, and its libraries.
needs() {
    local path
    for path in "$@"; do
        printf '%s\n' "$path" "$(realpath "$path")"
        { ldd "$path" 2>/dev/null || true; } | grep -oE '/[^ )]+' || true
    done
}

{
    for program in "${programs[@]}"; do needs "$(command -v "$program")"; done
    for part in collect2 ld as liblto_plugin.so; do
        path=$(gcc -print-prog-name="$part")
        if [ "${path#/}" != "$path" ]; then needs "$path"; fi
    done
    needs "$sysroot/bin/rustc" "$sysroot/bin/cargo" "$sysroot"/lib/*.so*
    # What is linked: start files and libraries of the C compiler, and of the C library.
    gcc_folder=$(dirname "$(gcc -print-file-name=crtbeginT.o)")
    find -L "$gcc_folder" -maxdepth 1 -type f ! -name 'cc1*' ! -name 'lto1'
    libc_folder=$(dirname "$(realpath "$(gcc -print-file-name=libc.a)")")
    find -L "$libc_folder" -maxdepth 1 -type f \( -name '*crt*.o' -o -name 'libc.*' -o -name 'libc_nonshared.a' -o -name 'libm*.a' \
        -o -name 'libm.so*' -o -name 'libmvec*' -o -name 'libpthread*' -o -name 'libdl*' -o -name 'librt*' -o -name 'libutil*' \
        -o -name 'libgcc_s*' -o -name 'ld-linux*' \)
    find "$sysroot/lib/rustlib/$target" ! -type d
} | sort -u >"$list"

# Links of folders (`/bin`, `/lib`, …) stay links; of files the content is taken, by each of their names.
mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/usr/sbin" "$root/tmp"
for folder in /bin /lib /lib64 /sbin; do
    if [ -L "$folder" ]; then ln -s "usr$folder" "$root$folder"; fi
done
while read -r path; do
    if [ -f "$path" ]; then cp --dereference --parents --reflink=auto "$path" "$root"; fi
done <"$list"
tar --create --directory "$root" . | docker import \
    --change "ENV PATH=$sysroot/bin:/usr/local/bin:/usr/bin:/bin" \
    --change 'ENV CARGO_HOME=/cargo' \
    --change 'ENV CARGO_NET_OFFLINE=true' \
    - "$image" >/dev/null
