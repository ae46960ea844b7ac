# What the balancer's container runs: Nginx, and beside it the watcher, one look after the other.
#
#     sh run.sh DIRECTORY
#
# A look that ends in whatever way is followed by the next, so that nothing has to start the watcher
# again. Where Nginx ends, this does, and Docker starts the container again.
set -u
cd "$1" || exit

for tool in awk curl flock; do
    command -v "$tool" > /dev/null ||
        { echo "the balancer's image has no $tool: use one that has (nginx on Debian)" >&2; exit 1; }
done

nginx -c "$PWD/current/nginx.conf" -g 'daemon off;' &
nginx=$!
trap 'kill -s QUIT "$nginx"' QUIT
trap 'kill -s TERM "$nginx"' TERM INT

while kill -0 "$nginx" 2>/dev/null; do
    {
        sh current/watch.sh "$PWD"
        # 3: the next look is to follow at once.
        if [ $? -eq 3 ]; then sleep 0.1; else sleep 0.5; fi
    } &
    # Ends early where a signal comes.
    wait "$!"
done
wait "$nginx"
