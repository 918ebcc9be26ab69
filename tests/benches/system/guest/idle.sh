# Waits until the processors have been idle for 95 % of three seconds, or for a minute.
cpu() { read -r _ user nice system idle rest < /proc/stat; busy=$((user + nice + system)); }
for _ in $(seq 20); do
    cpu; busy0=$busy idle0=$idle
    sleep 3
    cpu; busy=$((busy - busy0)) idle=$((idle - idle0))
    [ $((busy * 20)) -lt $((busy + idle)) ] && break
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
