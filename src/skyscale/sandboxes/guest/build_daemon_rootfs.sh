#!/bin/sh
# Builds the guest of the virtual-machine sandboxes out of Debian's packages, without root and without another source:
#   vmlinux      the cloud kernel, uncompressed, as QEMU (PVH) and Firecracker start it
#   initrd       static busybox and the virtio modules: finds the disk, hands over to the daemon
#   rootfs.ext4  Python, a shell and its tools, and the in-VM daemon, mounted read-only; every file belongs to uid 0
# Usage: build_daemon_rootfs.sh [FOLDER]      prints the folder of the finished image
# FOLDER (default .skyscale/vm) keeps one image per content: package versions and our files. A second call finds it.
# The control plane runs it by itself before its first virtual machine (building.py), and holds a lock meanwhile.
set -eu

ours=$(cd "$(dirname "$0")/.." && pwd)
cache=$(mkdir -p "${1:-${SKYSCALE_DATA_DIR:-.skyscale}/vm}" && cd "${1:-${SKYSCALE_DATA_DIR:-.skyscale}/vm}" && pwd)
for tool in apt-get apt-cache dpkg-deb mkfs.ext4 cpio sha256sum; do
  PATH=$PATH:/usr/sbin:/sbin command -v $tool >/dev/null || { echo "$tool is needed (Debian: apt, e2fsprogs, cpio)" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# a host whose package lists were thrown away gets its own, beside the images
if ! apt-cache depends linux-image-cloud-amd64 >/dev/null 2>&1; then
  mkdir -p "$cache/lists/partial"
  { cat "${APT_CONFIG:-/dev/null}"; echo "Dir::State::lists \"$cache/lists/\";"; } >"$work/apt.conf"
  export APT_CONFIG="$work/apt.conf"
  apt-get update -qq >&2
fi
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)/\1/p' | head -n 1)
python=$(apt-cache depends python3-minimal | sed -n 's/.*Depends: \(python3\.[0-9]*\)-minimal.*/\1/p' | head -n 1)
test -n "$kernel" && test -n "$python" || { echo "no package lists: run apt-get update first" >&2; exit 1; }
programs="bash coreutils findutils grep sed mawk diffutils"
libraries=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
  --no-enhances "$python-minimal" "lib$python-stdlib" $programs | grep '^[a-z]' | sort -u |
  grep -vE '^(perl|dpkg|tar$|install-info|mailcap|mime-support|media-types|readline-common|libdb|libgdbm|libperl|debconf|gcc-|libkrb|libk5|libgssapi|libkeyutils|libcom-err|libtirpc|libnsl|base-files|debianutils|libmd|libzstd)')
packages="$kernel busybox-static $libraries"

versions=$(apt-cache show --no-all-versions $packages | grep -E '^(Package|SHA256):')
script=$(sha256sum <"$0")
version=$(cd "$ours" && { find encoding.py backends/process/zygote backends/process/workspaces/memory.py guest/inside \
  -name '*.py' | LC_ALL=C sort | xargs sha256sum; echo "$script"; } | sha256sum | cut -d' ' -f1)
content=$({ echo "$versions"; echo "$version"; } | sha256sum | cut -c1-16)
image=$cache/$content
if test -f "$image/SHA256SUMS" && (cd "$image" && sha256sum --quiet -c SHA256SUMS >&2); then
  echo "$image"
  exit 0
fi

mkdir -p "$work/debs" "$work/kernel" "$work/initrd" "$work/root" "$work/out" "$work/tools"
mkdir -p "$cache/debs"
cd "$cache/debs"
apt-get download -qq $packages >&2
# what is used is what the signed package lists name; what they no longer name goes
for sum in $(echo "$versions" | sed -n 's/^SHA256: //p'); do echo "$sum"; done | sort -u >"$work/expected"
for deb in *.deb; do
  if grep -q "$(sha256sum "$deb" | cut -d' ' -f1)" "$work/expected"; then cp "$deb" "$work/debs/"; else rm "$deb"; fi
done
cd "$work/debs"
test "$(ls | wc -l)" = "$(echo $packages | wc -w)" || { echo "a package is missing or has a wrong checksum" >&2; exit 1; }

# -- kernel: the payload of the bzImage is an lz4-packed ELF file
dpkg-deb --fsys-tarfile "$kernel"_*.deb | tar -x -C "$work/kernel"
if ! command -v lz4 >/dev/null; then
  apt-get download -qq lz4 >&2 && dpkg-deb -x lz4_*.deb "$work/tools" && rm lz4_*.deb
  PATH=$PATH:$work/tools/usr/bin
fi
number() { od -An -t u4 -j "$1" -N 4 "$vmlinuz" | tr -d ' '; }
vmlinuz=$(ls "$work"/kernel/boot/vmlinuz-*)
sectors=$(od -An -t u1 -j 497 -N 1 "$vmlinuz" | tr -d ' ')
start=$(( (sectors + 1) * 512 + $(number 584) ))
size=$(( $(number 588) - 4 ))
tail -c +$((start + 1)) "$vmlinuz" | head -c "$size" | lz4 -dc >"$work/out/vmlinux"
test "$(head -c 4 "$work/out/vmlinux" | tail -c 3)" = ELF || { echo "the kernel is not lz4-packed ELF" >&2; exit 1; }

# -- initrd
mkdir -p "$work/initrd/bin" "$work/initrd/dev" "$work/initrd/root" "$work/initrd/modules"
dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -x -O ./bin/busybox >"$work/initrd/bin/busybox"
chmod 755 "$work/initrd/bin/busybox"
modules="virtio_ring virtio virtio_mmio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_console virtio_blk \
vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport"
for module in $modules; do
  find "$work/kernel/lib/modules" -name "$module.ko" -exec cp {} "$work/initrd/modules/" \;
done
cat >"$work/initrd/init" <<EOF
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $modules; do /bin/busybox insmod /modules/\$module.ko; done
tries=0
until test -b /dev/vda || test \$tries -gt 200; do /bin/busybox usleep 20000; tries=\$((tries + 1)); done
/bin/busybox mount -t ext4 -o ro /dev/vda /root
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /usr/bin/$python -s -S -P -B -X utf8 /skyscale/start.py
EOF
chmod 755 "$work/initrd/init"
(cd "$work/initrd" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -9 >"$work/out/initrd")

# -- root: unpacked as uid 0 of a user namespace, compiled beforehand, without documentation and tests
for folder in bin sbin lib lib64; do mkdir -p "$work/root/usr/$folder"; ln -s "usr/$folder" "$work/root/$folder"; done
mkdir -p "$work/root/proc" "$work/root/sys" "$work/root/dev" "$work/root/tmp" "$work/root/run" "$work/root/skyscale"
cat >"$work/fill" <<EOF
set -eu
for deb in "$work"/debs/*.deb; do
  case \$deb in */linux-image-*|*/busybox-static*) continue ;; esac
  dpkg-deb --fsys-tarfile "\$deb" | tar -x -C "$work/root" --keep-directory-symlink --no-same-owner
done
rm -rf "$work"/root/usr/share "$work"/root/var "$work"/root/etc
for folder in test idlelib tkinter turtledemo lib2to3 ensurepip pydoc_data; do rm -rf "$work/root/usr/lib/$python/\$folder"; done
rm -rf "$work"/root/usr/lib/$python/config-*
ln -s bash "$work/root/usr/bin/sh"
ln -s mawk "$work/root/usr/bin/awk"
mkdir -p "$work/root/skyscale/sandboxes/backends/process/workspaces" "$work/root/skyscale/sandboxes/guest"
cp "$ours/encoding.py" "$work/root/skyscale/sandboxes/"
cp -r "$ours/backends/process/zygote" "$work/root/skyscale/sandboxes/backends/process/"
cp "$ours/backends/process/workspaces/memory.py" "$work/root/skyscale/sandboxes/backends/process/workspaces/"
cp -r "$ours/guest/inside" "$work/root/skyscale/sandboxes/guest/"
for folder in . backends backends/process backends/process/workspaces guest; do : >"$work/root/skyscale/sandboxes/\$folder/__init__.py"; done
printf '%s\n' "import sys" "sys.path[:0] = ['/skyscale']" "from sandboxes.guest.inside.daemon import main" "main()" \
  >"$work/root/skyscale/start.py"
find "$work/root" -name __pycache__ -type d -prune -exec rm -rf {} +
find "$work/root" -exec touch -h -d @0 {} +
"$work/root/usr/bin/$python" -I -S -c 0 2>/dev/null && compiler="$work/root/usr/bin/$python" || compiler=
if test -n "\$compiler"; then
  PYTHONHOME="$work/root/usr" "\$compiler" -S -m compileall -q -s "$work/root" --invalidation-mode unchecked-hash \
    "$work/root/usr/lib/$python" "$work/root/skyscale" || true
fi
mkfs.ext4 -q -F -d "$work/root" -O ^has_journal -m 0 -N 8192 "$work/out/rootfs.ext4" 128M
EOF
if unshare -r true 2>/dev/null; then unshare -r sh "$work/fill" >&2; else sh "$work/fill" >&2; fi

echo "$version" >"$work/out/OURS"
(cd "$work/out" && sha256sum vmlinux initrd rootfs.ext4 >SHA256SUMS)
rm -rf "$image.part" "$image"
cp -r "$work/out" "$image.part"
mv "$image.part" "$image"
echo "$image"
