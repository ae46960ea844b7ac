# What the balancer's container runs: Nginx, and beside it the watcher, one look after the other.
#
#     sh run.sh DIRECTORY
#
# A look that ends in whatever way is followed by the next, so that nothing has to start the watcher
# again. Where Nginx's master process is killed, another one is started, and the workers of the first
# end what they have. Where Nginx ends otherwise, this does, and Docker starts the container again.
set -u
cd "$1" || exit

for tool in awk curl flock; do
    command -v "$tool" > /dev/null ||
        { echo "the balancer's image has no $tool: use one that has (nginx on Debian)" >&2; exit 1; }
done

start() {
    nginx -c "$PWD/current/nginx.conf" -g 'daemon off;' &
    nginx=$!
}

# The process ids of Nginx's workers, those that only end what they have included.
workers() {
    for process in /proc/[0-9]*; do
        case $(tr -d '\0' 2>/dev/null < "$process/cmdline") in
            "nginx: worker process"*) echo "${process#/proc/}" ;;
        esac
    done
}

# Start another master where the first one was killed and its workers are left, which accept requests
# all the while: it can listen beside them (reuseport), and takes over once it does.
begin_again() {
    wait "$nginx"
    status=$?
    if [ $status -le 128 ] || [ -n "$stopping" ]; then return 1; fi
    left=$(workers)
    if [ -z "$left" ]; then return 1; fi
    echo "run: Nginx's master process was killed; another one takes over" >&2
    start
    # Written once its sockets listen.
    while [ "$(cat /tmp/nginx.pid 2>/dev/null)" != "$nginx" ]; do
        kill -0 "$nginx" 2>/dev/null || return 1
        sleep 0.1
    done
    # shellcheck disable=SC2086
    kill -s QUIT $left 2>/dev/null
    return 0
}

# shellcheck disable=SC2329 # The traps call it.
stop() {
    stopping=yes
    kill -s "$1" "$nginx"
}

stopping=
status=
start
trap 'stop QUIT' QUIT
trap 'stop TERM' TERM INT

while kill -0 "$nginx" 2>/dev/null || begin_again; do
    {
        sh current/watch.sh "$PWD"
        # 3: the next look is to follow at once.
        if [ $? -eq 3 ]; then sleep 0.1; else sleep 0.5; fi
    } &
    # Ends early where a signal comes.
    wait "$!"
done
# What the workers of a killed master have still ends.
while [ "$stopping" = yes ] && [ -n "$(workers)" ]; do sleep 0.2; done
exit "$status"
