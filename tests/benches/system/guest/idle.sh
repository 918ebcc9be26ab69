# Waits until the processors have been idle for 95 % of three seconds, or for a minute; then until memory has settled. The
# kernel keeps free pages in a list of each processor (`high` in /proc/zoneinfo): tens of MiB after a boot, which do not count as
# free and go back within half a minute.
cpu() { read -r _ user nice system idle rest < /proc/stat; busy=$((user + nice + system)); }
for _ in $(seq 20); do
    cpu; busy0=$busy idle0=$idle
    sleep 3
    cpu; busy=$((busy - busy0)) idle=$((idle - idle0))
    [ $((busy * 20)) -lt $((busy + idle)) ] && break
done
available() { while read -r key value _; do [ "$key" = MemAvailable: ] && break; done < /proc/meminfo; }
for _ in $(seq 12); do
    available; before=$value
    sleep 5
    available
    [ $((value - before)) -lt 512 ] && [ $((before - value)) -lt 512 ] && break
done
while read -r key value _; do
    case $key in MemTotal: | MemAvailable:) echo "${key%:} $value" ;; esac
done < /proc/meminfo
# Kernel threads have no command line.
count=0
for process in /proc/[0-9]*; do
    words=
    read -r -d '' words 2> /dev/null < "$process/cmdline"
    [ -n "$words" ] && count=$((count + 1))
done
echo "Processes $count"
