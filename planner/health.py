"""When the container of an instance takes its server for hung, and has Docker start it again."""

LOOK_S, LOOKS = 2.0, 3
"""How long the server may leave a look unanswered, and how often in a row."""

EVERY_S, WITHIN_S = 3, 30
"""How often Docker looks, and when it gives a look up."""

# As the container's user, so that no capability is needed; `kill -9 -1` reaches all of its
# processes but Docker's init, which then ends the container.
_SCRIPT = """\
ask() {{ curl -q -s --noproxy '*' --max-time {look_s} "http://127.0.0.1:{port}$1"; }}
ticks() {{
    all=0
    for process in /proc/[0-9]*; do
        if [ "$process" = "/proc/$$" ]; then continue; fi
        set -- $(sed 's/.*) //' "$process/stat" 2> /dev/null)
        all=$((all + ${{12:-0}} + ${{13:-0}}))
    done
    echo $all
}}
now=$(date +%s) before=$(ticks) look=1 idle={idle_ticks}
while true; do
    ask /v2/health/live > /dev/null
    case $? in
        0) rm -f /tmp/silent; break ;;
        28) ;;
        7 | 52 | 55 | 56)
            # A reset that comes early looks like a refusal, but something listens.
            cat /proc/net/tcp /proc/net/tcp6 2> /dev/null | grep -q ':{port:04X} 0*:0000 0A' ||
                {{ rm -f /tmp/silent; exit 1; }}
            idle={cutting_ticks}
            sleep {look_s}
            ;;
        *) rm -f /tmp/silent; exit 1 ;;
    esac
    if [ $look -eq {looks} ]; then
        if [ ! -e /tmp/silent ]; then echo "$now" > /tmp/silent; fi
        if [ $(($(ticks) - before)) -lt $idle ] ||
            [ $(($(date +%s) - $(cat /tmp/silent))) -ge {silence_s} ]; then kill -9 -1; fi
        exit 1
    fi
    look=$((look + 1))
    sleep 0.5
done
last=/tmp/answered
all=$(ask /metrics)
answered=$(echo "$all" |
    grep -E '^ovms_(responses|graph_error|graph_processing_time_us_count)[{{ ]')
if echo "$all" | grep -q '^ovms_current_graphs[{{ ].* [1-9]' && [ -e $last ] &&
    [ "$answered" = "$(tail -n +2 $last)" ]; then
    if [ $((now - $(head -n 1 $last))) -ge {silence_s} ]; then kill -9 -1; fi
else
    {{ echo "$now" && echo "$answered"; }} > $last
fi
"""

# Of 10 ms each: a hundredth of one CPU over the looks. What waits in vain uses less, and what is
# merely slow, on a host that has too much to do, more. What cuts connections is not slow; but one
# that generates cuts new ones too where it has no file left for them, and uses a CPU or more.
_IDLE_TICKS = int(LOOK_S * LOOKS)
_CUTTING_TICKS = 20 * _IDLE_TICKS


def health_check(port: int, *, silence_s: int) -> str:
    """
    Render the health check of an instance, for the shell of its image, which needs ``curl``.

    A server is hung that leaves three looks in a row unanswered, or cuts them, and uses next to no
    CPU meanwhile. One that does is busy: it is hung where all looks of *silence_s* seconds got no
    answer, as is one that has requests in progress and has answered none of them for so long.
    Health and metrics are answered by other threads than those that generate, so that a long queue
    is no hang. A port that refuses, and a server that is loading, are none either.

    Source: src/drogon_http_server.cpp and docs/metrics.md of OVMS; libcurl-errors(3): 28 is a
    time-out, 52, 55 and 56 are a connection that was cut, and 7 is one that was not made; proc(5):
    a socket of ``/proc/net/tcp`` that listens has the state 0A.

    Args:
        port: that the server listens on.
        silence_s: how long a server may answer nothing while it works, or seems to.
    """
    return _SCRIPT.format(
        port=port,
        look_s=LOOK_S,
        looks=LOOKS,
        idle_ticks=_IDLE_TICKS,
        cutting_ticks=_CUTTING_TICKS,
        silence_s=silence_s,
    )
