#!/bin/sh
# Lays out the whole file system of the image: one static binary, the list of what it is built from, and what it reads. The same for `docker build` and for
# infra/check.py, which runs it where no image can be pulled.
#
#     rootfs.sh BINARY SBOM DESTINATION [CA_BUNDLE]
set -eu

binary=$1 sbom=$2 root=$3 authorities=${4:-/etc/ssl/certs/ca-certificates.crt}
top=$(cd "$(dirname "$0")/../.." && pwd)

mkdir -p "$root"
install -D -m 0755 "$binary" "$root/usr/bin/esp-connector"
install -D -m 0644 "$authorities" "$root/etc/ssl/certs/ca-certificates.crt"
install -D -m 0644 "$top/infra/packages/esp-connector.yml" "$root/etc/esp-connector/esp-connector.yml"
install -D -m 0644 "$top/LICENSE" "$root/usr/share/doc/esp-connector/LICENSE"
install -D -m 0644 "$sbom" "$root/usr/share/doc/esp-connector/esp-connector.cdx.json"
# A number is enough to run as; a name reads better in `ps`.
printf 'root:x:0:0::/:/none\nesp-connector:x:65532:65532::/var/lib/esp-connector:/none\n' >"$root/etc/passwd"
printf 'root:x:0:\nesp-connector:x:65532:\n' >"$root/etc/group"
# Names come from /etc/hosts, then from DNS; both are part of the static binary.
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
# To write to: dead letters and archives. A volume of that place takes its owner over.
mkdir -p "$root/var/lib/esp-connector" "$root/tmp"
chmod 0700 "$root/var/lib/esp-connector"
chmod 1777 "$root/tmp"
