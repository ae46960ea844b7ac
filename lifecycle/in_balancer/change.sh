# Make a generation of the balancer's configuration: the current one with a change laid over it.
#
#     flock lock sh change.sh DIRECTORY INCOMING yes|no [PATH ...]
#
# INCOMING is the folder with what is new, below DIRECTORY; "yes" has Nginx load it; each PATH is
# left out. Prints the generation's number. Fails, and changes nothing, where Nginx refuses it.
set -eu
cd "$1"
incoming=$2
reload=$3
shift 3

current=$(readlink current || echo gen-0)
number=$((${current#gen-} + 1))
next=gen-$number
rm -rf "$next"
mkdir -p "$next/members" "$next/cordoned" "$next/unwell"
if [ -e current ]; then cp -R current/. "$next/"; fi
cp -R "$incoming/." "$next/"
for gone in "$@"; do rm -f "$next/$gone"; done

# Whoever closes a member, and whoever proved it before it opens, needs no mark of the watcher's.
for mark in "$next"/unwell/*; do
    case $(grep -s '^server ' "$next/members/${mark##*/}.conf" || true) in
        '' | *' down;') rm -f "$mark" ;;
    esac
done

# What Nginx includes: the members, those with a mark closed; and where it includes at-most-N, the
# same once more, each with N connections at most.
rm -rf "$next/serving" "$next"/at-most-*
mkdir "$next/serving"
bound=$(sed -n 's|^ *include at-most-\([0-9]*\)/.*|\1|p' "$next/nginx.conf" || true)
if [ -n "$bound" ]; then mkdir "$next/at-most-$bound"; fi
for member in "$next"/members/*.conf; do
    if [ ! -e "$member" ]; then break; fi
    file=${member##*/}
    close=
    if [ -e "$next/unwell/${file%.conf}" ]; then close='/^server /s/;$/ down;/'; fi
    sed "$close" "$member" > "$next/serving/$file"
    if [ -n "$bound" ]; then
        sed -n "s/ max_fails=0/& max_conns=$bound/p" "$next/serving/$file" \
            > "$next/at-most-$bound/$file"
    fi
done

# shellcheck disable=SC2016
{
    printf 'map "" $generation { default %s; }\n' "$number"
    printf 'map "" $workers_died { default %s; }\n' "$(cat "$next/died" 2>/dev/null || echo 0)"
} > "$next/generation.conf"
if ! nginx -t -q -c "$PWD/$next/nginx.conf"; then
    rm -rf "$next" "$incoming"
    exit 1
fi
ln -sfn "$next" current.new
mv -T current.new current
# Moved away first, so that who reads meanwhile finds the whole of a generation or none of it.
for old in gen-*; do
    if [ "$old" != "$next" ]; then mv "$old" "incoming-old-$number-$old"; fi
done
rm -rf incoming-old-"$number"-*
rm -rf "$incoming"
# Of writers that were killed; those of the others that wait for the lock are young.
find . -maxdepth 1 -name 'incoming-*' -mmin +60 -exec rm -rf {} +
# Where the master has just been killed, the next one reads this generation anyway.
if [ "$reload" = yes ]; then nginx -q -c "$PWD/current/nginx.conf" -s reload || true; fi
echo "$number"
