for _ in 1 2 3; do
    start=$EPOCHREALTIME
    docker run --rm tare/bench /usr/bin/busybox true || exit
    echo "Run $start $EPOCHREALTIME"
done
