# The watcher: one look at every member that is open, and what follows from it.
#
#     sh watch.sh DIRECTORY
#
# A member that does not serve gets a mark, unwell/INSTANCE with the reason, which closes it. The
# mark is taken away once each of its models is ready and has generated a token. Members that an
# update or an operator closed are left to them. Exits with 3 where the next look is to follow at
# once.
set -eu
cd "$1"

# Not in /tmp, which large requests may fill.
state=/dev/shm/watcher
mkdir -p "$state"
generation=$(readlink current)
# How long a request may be silent.
silence_s=$(sed -n 's/^ *proxy_read_timeout \([0-9]*\)s;/\1/p' "$generation/nginx.conf")

# Lay the folder $1 over the current generation, without the paths that follow.
change() {
    incoming=$1
    shift
    # Where the disk is full, or a file was edited, the next look would fail in the same way.
    flock -w 60 lock sh current/change.sh "$PWD" "$incoming" yes "$@" > /dev/null ||
        { sleep 5 && return 1; }
}

# Let the instance $1 at $2 generate with each of the models that follow, then open it.
try() {
    name=$1
    address=$2
    shift 2
    # The try before may have opened it since the look that led to this one.
    if [ ! -e "current/unwell/$name" ]; then return; fi
    for model in "$@"; do
        curl -q -s -f --noproxy '*' --connect-timeout 1 --max-time "$silence_s" \
            -H 'Content-Type: application/json' \
            -d "{\"model\": \"$model\", \"prompt\": \"1\", \"max_tokens\": 1}" \
            "http://$address/v3/completions" | grep -q '"choices"' || return 0
    done
    mkdir -p "incoming-opening-$name"
    change "incoming-opening-$name" "unwell/$name" &&
        echo "watcher: $name is open again" >&2
}

if [ "${2-}" = try ]; then
    shift 2
    try "$@"
    exit
fi

# Requests in progress that a dead worker counted would count for ever; a reload takes none away.
died=$(grep -c 'worker process [0-9]* exited on signal' /tmp/alerts.log 2>/dev/null || true)
died=${died:-0}
if grep -q limit_conn_zone "$generation/nginx.conf" &&
    [ "$died" != "$(cat "$generation/died" 2>/dev/null || echo 0)" ]; then
    mkdir -p incoming-died
    echo "$died" > incoming-died/died
    change incoming-died
    generation=$(readlink current)
fi

# Every member that is open: instance, address, whether it has a mark, models.
awk '
    FNR == 1 { tell(); name = FILENAME; sub(".*/", "", name); sub("[.]conf$", "", name) }
    /^# model / { models = models " " $3 }
    /^server / && ! / down;$/ { address = $2 }
    END { tell() }
    function tell() {
        if (address) {
            mark = (getline line < (folder "/unwell/" name)) > 0 ? "unwell" : "well"
            print name, address, mark models
        }
        models = address = ""
    }
' folder="$generation" "$generation"/members/*.conf > "$state/members" 2>/dev/null || exit 0

# One look at all of them at once; a member is asked for each of its models, and for its metrics.
rm -f "$state"/metrics.*
while read -r name address _ models; do
    for model in $models; do
        printf 'url = "http://%s/v2/models/%s/ready"\noutput = "/dev/null"\n' "$address" "$model"
    done
    printf 'url = "http://%s/metrics"\noutput = "%s/metrics.%s"\n' "$address" "$state" "$name"
done < "$state/members" > "$state/urls"
if [ ! -s "$state/urls" ]; then exit 0; fi
curl -q -s --noproxy '*' --globoff --parallel --parallel-immediate --parallel-max 300 \
    --connect-timeout 0.3 --max-time 1.5 --write-out '%{url_effective} %{http_code} %{exitcode}\n' \
    --config "$state/urls" > "$state/seen" 2>/dev/null || true

touch "$state/before"
awk -f current/judge.awk now="$(date +%s)" silence_s="$silence_s" state="$state" \
    "$state/members" "$state/before" "$state/seen" > "$state/verdicts"
mv "$state/after" "$state/before"

again=
closing="incoming-closing"
rm -rf "$closing"
while read -r verdict name rest; do
    case $verdict in
        close)
            mkdir -p "$closing/unwell"
            printf '%s\n' "$rest" > "$closing/unwell/$name"
            echo "watcher: $name is closed: it $rest" >&2
            ;;
        again) again=yes ;;
        try)
            # One try at a time; it may take long. What follows the name is the address, and models.
            # shellcheck disable=SC2086
            flock -n "$state/trying.$name" sh current/watch.sh "$PWD" try "$name" $rest &
            ;;
    esac
done < "$state/verdicts"
if [ -e "$closing" ]; then change "$closing"; fi
if [ -n "$again" ]; then exit 3; fi
