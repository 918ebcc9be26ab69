# Only a privileged container sees the memory of all processes on all of the systems. It reads from all first,
# as it would count itself otherwise.
docker run --rm --privileged --pid=host tare/bench /usr/bin/busybox sh -c '
busybox() { /usr/bin/busybox "$@"; }
while read -r key value _; do [ "$key" = VmRSS: ] && echo "VmRSS $value"; done < /proc/1/status
for process in /proc/[0-9]*; do
    pss=$(busybox sed -n "s/^Pss: *\([0-9]*\) kB/\1/p" $process/smaps_rollup 2> /dev/null)
    [ -n "$pss" ] && read -r name < $process/comm && echo "Process $pss $name"
done'
