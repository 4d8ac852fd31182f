#!/usr/bin/env bash
# Process 1 of a booted host until systemd is: the machine's own root as it is, what is written to it in memory, and
# file systems of the host's own. Arguments: the host's folder, its name, the folder of binaries.
set -e
folder=$1 name=$2 binaries=$3
root=$folder/root
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$folder/disk"
mkdir "$folder/disk/upper" "$folder/disk/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/disk/upper,workdir=$folder/disk/work" "$root"
hostname "$name"
ip link set lo up

mount -t proc proc "$root/proc"
# What it would set in the kernel is the machine's.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
# What is about networks is about its own.
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,rw "$root/proc/sys/net"
mount -t sysfs sysfs "$root/sys"
if grep -q '^[1-9]' /proc/self/cgroup; then
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  awk -F: '$2 != "" { print $2 }' /proc/self/cgroup | while read -r controllers; do
    mkdir "$root/sys/fs/cgroup/${controllers#name=}"
    # A named hierarchy has no controllers.
    mount -t cgroup -o "$controllers" cgroup "$root/sys/fs/cgroup/${controllers#name=}" 2>/dev/null ||
      mount -t cgroup -o "none,$controllers" cgroup "$root/sys/fs/cgroup/${controllers#name=}"
  done
  mkdir "$root/sys/fs/cgroup/unified"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
else
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
mount -o remount,bind,ro "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do cp -a "/dev/$device" "$root/dev/"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%:*}" "$root/dev/${stream#*:}"; done

mkdir -p "$root/lab/bin" "$root/lab/own"
mount --bind "$binaries" "$root/lab/bin"
mount --bind "$folder/own" "$root/lab/own"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
# Nothing of the machine's own begins here.
ln -sfn /dev/null "$root/etc/systemd/system/timers.target"
for unit in sysctl modules-load udevd udev-trigger random-seed remount-fs; do
  ln -sfn /dev/null "$root/etc/systemd/system/systemd-$unit.service"
done
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=null --unit=basic.target
