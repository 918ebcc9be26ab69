# Only a privileged container sees the memory of all processes on all of the systems.
docker run --rm --privileged --pid=host tare/bench /usr/bin/busybox sh -c '
while read -r key value _; do
    if [ "$key" = VmRSS: ]; then echo "VmRSS $value"; fi
done < /proc/1/status
for process in /proc/[0-9]*; do
    # Kernel threads have none, and a process may end meanwhile.
    pss=$(/usr/bin/busybox sed -n "s/^Pss: *\([0-9]*\) kB/\1/p" "$process/smaps_rollup" 2> /dev/null)
    if [ -n "$pss" ] && read -r name < "$process/comm"; then echo "Process $pss $name"; fi
done'
