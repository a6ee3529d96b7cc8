#!/bin/sh
# Boots systemd as PID 1 of namespaces of its own. Called by systemd_boot.py:
#   boot.sh outside CGROUP STAGE [HOSTPATH:GUESTPATH...]
# STAGE is an empty directory: the guest's file system is built there, in the new mount namespace only. Each
# HOSTPATH is mounted read-only at GUESTPATH (a directory, made when it is missing).
set -eu

cgroup_roots() {
    # The hierarchies systemd manages: one cgroup2, or, on a "hybrid" machine, cgroup2 and name=systemd.
    if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        echo /sys/fs/cgroup
    else
        echo /sys/fs/cgroup/unified /sys/fs/cgroup/systemd
    fi
}

outside() {
    # A cgroup namespace is rooted where its first process sits: in a group of our own, so that the guest can
    # touch no other, and so that there is one place to clean up.
    for hierarchy in $(cgroup_roots); do
        mkdir -p "$hierarchy/$1"
        echo $$ > "$hierarchy/$1/cgroup.procs"
    done
    shift
    # Whoever dies first takes the rest along: this shell with its parent, PID 1 of the guest with unshare.
    exec setpriv --pdeathsig KILL -- unshare --fork --kill-child --pid --mount --uts --ipc --net --cgroup \
        "$0" inside "$@"
}

mount_cgroups() {
    if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        mount -t cgroup2 cgroup2 "$1"
        return
    fi
    mount -t tmpfs -o mode=0755 tmpfs "$1"
    mkdir "$1/unified" "$1/systemd"
    mount -t cgroup2 cgroup2 "$1/unified"
    mount -t cgroup -o none,name=systemd,xattr cgroup "$1/systemd"
}

mount_dev() {
    mount -t tmpfs -o mode=0755 tmpfs "$1"
    for node in null zero full random urandom tty; do
        touch "$1/$node"
        mount --bind "/dev/$node" "$1/$node"
    done
    mkdir "$1/pts" "$1/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/pts"
    ln -s pts/ptmx "$1/ptmx"
    mount -t tmpfs -o mode=1777 tmpfs "$1/shm"
}

inside() {
    stage=$1 root=$1/root
    shift
    notify=$stage.notify # outside the tmpfs that is about to cover STAGE
    mount -t tmpfs -o mode=0755 tmpfs "$stage"
    mkdir "$stage/upper" "$stage/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$stage/upper,workdir=$stage/work" "$root"
    mount -t proc proc "$root/proc"
    # What systemd itself sets where it may; the kernel's 10 messages are few for a PID 1 that logs every step.
    echo 512 > "$root/proc/sys/net/unix/max_dgram_qlen"
    # Much of /proc/sys belongs to the machine, not to a namespace: systemd must not set it.
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount_cgroups "$root/sys/fs/cgroup"
    mount_dev "$root/dev"
    mount -t tmpfs -o mode=0755 tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mkdir "$root/run/booted"
    mount --bind "$notify" "$root/run/booted"
    for bind in "$@"; do
        mkdir -p "$root${bind#*:}"
        mount --bind "${bind%%:*}" "$root${bind#*:}"
        mount -o remount,bind,ro "$root${bind#*:}"
    done
    configure "$root/etc"
    # Not chroot: the kernel refuses user namespaces (PrivateUsers=) to whoever was put into one.
    mkdir "$root/run/machine"
    cd "$root"
    pivot_root . run/machine
    umount -l /run/machine
    rmdir /run/machine
    # In a container systemd leaves this to the manager; without it no credential reaches a service.
    mount --make-rshared /
    # PID 1 tells whoever set NOTIFY_SOCKET when it has finished booting, as it tells a container manager.
    exec env -i container=ingestd-test PATH=/usr/sbin:/usr/bin:/sbin:/bin NOTIFY_SOCKET=/run/booted/socket \
        /lib/systemd/systemd --system --unit=ingestd-test.target
}

configure() {
    mkdir -p "$1/systemd/system" "$1/systemd/journald.conf.d"
    # What would reach past the namespaces, or is of no use here, stays off.
    for unit in systemd-sysctl.service systemd-modules-load.service modprobe@.service systemd-udevd.service \
        systemd-udev-trigger.service systemd-timesyncd.service dev-hugepages.mount dev-mqueue.mount \
        sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount \
        proc-sys-fs-binfmt_misc.automount systemd-journal-flush.service systemd-remount-fs.service; do
        ln -sf /dev/null "$1/systemd/system/$unit"
    done
    printf '[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\nAllowIsolate=yes\n' \
        > "$1/systemd/system/ingestd-test.target"
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' > "$1/systemd/journald.conf.d/test.conf"
}

"$@"
