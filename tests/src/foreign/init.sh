#!/usr/bin/busybox sh
# PID 1 of a guest that is not Tare: runs every bundle of the system on /dev/vdb as `runc run` and `crun run`
# do, and says on the console what became of each:
#   bundle: RUNTIME NAME ran PROGRAM | bundle: RUNTIME NAME failed: WHAT THE RUNTIME SAYS
# and before that the size of the system's own PID 1, in bytes:
#   init: SIZE
# It says so by the kernel's log: a line written to the console itself may be cut in two by one of the kernel's.

# Of a record, at most 1024 bytes are taken (printk(), PRINTKRB_RECORD_MAX).
say() {
    echo "<1>$*" | cut -c -1000 > /dev/kmsg
}

prepare() {
    /usr/bin/busybox mount -t tmpfs run /run
    /usr/bin/busybox mkdir /run/bin
    /usr/bin/busybox --install -s /run/bin
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mkdir -p /dev/pts /dev/shm
    mount -t tmpfs tmp /tmp
    mount -t tmpfs state /state
    mount -t erofs -o ro /dev/vdb /mnt
    # As a container runtime wants it: the controllers handed down, no process in an inner group.
    mount -t cgroup2 cgroup /sys/fs/cgroup
    mkdir /sys/fs/cgroup/init /sys/fs/cgroup/services
    echo 1 > /sys/fs/cgroup/init/cgroup.procs
    for group in /sys/fs/cgroup /sys/fs/cgroup/services; do
        echo '+cpu +io +memory +pids' > $group/cgroup.subtree_control
    done
    ip link set lo up
}

# The directories that PID 1 of Tare makes before it starts a service.
make_sources() {
    grep -o '"source": *"/[^"]*"' "$1" | cut -d '"' -f 4 | while read -r source; do
        [ -e "$source" ] || mkdir -p "$source"
    done
}

# The name of process $1 once it is no longer the runtime $2 itself; an unreaped process keeps its name.
program() {
    for _ in $(seq 300); do
        name=$(cat "/proc/$1/comm")
        case $name in
            "$2"*) sleep 0.1 ;;
            *) break ;;
        esac
    done
    echo "$name"
}

run_bundle() {
    make_sources "/mnt/services/$2/config.json"
    if "$1" run --detach --pid-file /tmp/pid --bundle "/mnt/services/$2" "$2" < /dev/null > /tmp/said 2>&1; then
        say "bundle: $1 $2 ran $(program "$(cat /tmp/pid)" "$1")"
    else
        say "bundle: $1 $2 failed: $(tr '\n' ' ' < /tmp/said)"
    fi
    "$1" delete --force "$2" > /dev/null 2>&1
}

work() {
    say "init: $(stat -c %s /mnt/sbin/init)"
    for runtime in runc crun; do
        for bundle in /mnt/services/*; do
            run_bundle $runtime "${bundle##*/}"
        done
    done
    say "bundles: done"
    echo > /run/over
}

export PATH=/run/bin:/usr/sbin:/usr/bin
prepare
mkfifo /run/over
# Both ends, so that opening does not wait for the other.
exec 3<> /run/over
work &
# Reads, and does not wait for children: a child that has ended stays visible to `program`. SIGCHLD interrupts.
until read -r _ <&3; do :; done
poweroff -f
