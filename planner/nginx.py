"""
The balancer's configuration: everything but its members.

The text includes ``members/*.conf``, one file an instance, each owned by that instance's
Activation. Directive meanings and defaults: the documentation of Nginx 1.30.
"""

import json

from planner.settings import BalancerSettings

LISTEN_PORT = 8080
"""The port inside the balancer's container; above 1023, so that no capability is needed."""

OPEN_FILES = 16384
"""How many files Nginx may have open: two a request, for each worker."""

# Added to the longest that a stream or a drain may take, so that the drain ends first and counts.
_SHUTDOWN_MARGIN_S = 30

_UPSTREAM = "model_servers"


def render_nginx(balancer: BalancerSettings, *, drain_timeout_s: int) -> str:
    """
    Render ``nginx.conf``.

    Args:
        balancer: the stack's balancer settings.
        drain_timeout_s: how long a drain waits for the streams of one instance.

    Returns:
        The whole file; the same input gives the same bytes.
    """
    return _TEMPLATE.format(
        workers=balancer.worker_processes,
        connect=balancer.connect_timeout_s,
        read=balancer.read_timeout_s,
        send=balancer.send_timeout_s,
        keepalive_min=balancer.keepalive_min_timeout_s,
        body=balancer.max_body_mib,
        retry_after=balancer.retry_after_s,
        shutdown=_SHUTDOWN_MARGIN_S
        + max(balancer.read_timeout_s, drain_timeout_s + balancer.keepalive_min_timeout_s),
        port=LISTEN_PORT,
        open_files=OPEN_FILES,
        upstream=_UPSTREAM,
        failed=_error("the model server failed while it answered", "server_error"),
        closed=_error("no model server is open", "server_error"),
        unknown_path=_error("not served here", "invalid_request_error"),
        too_large=_error(f"larger than {balancer.max_body_mib} MiB", "invalid_request_error"),
    )


def _error(message: str, kind: str) -> str:
    """Return an error's body in the form of the OpenAI API."""
    return json.dumps({"error": {"message": message, "type": kind}})


# A request goes to a second server only when the first has not got it: refused and silent
# connections (502, 504 with nothing sent) and a loading server's 404 or 503. A request that a
# server died on is not repeated, as one poisonous request would then take every server down.
# `max_fails=0` in the members: no request can eject a server.
_TEMPLATE = """\
worker_processes {workers};
worker_rlimit_nofile {open_files};
# A replaced worker finishes its streams, for longer than a drain waits for them.
worker_shutdown_timeout {shutdown}s;
pid /tmp/nginx.pid;
error_log /dev/stderr notice;

events {{
    worker_connections 4096;
}}

http {{
    client_body_temp_path /tmp/client_body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server_tokens off;
    default_type application/json;

    log_format requests escape=json
        '{{"time":"$time_iso8601","request":"$request_id","method":"$request_method",'
        '"path":"$uri","status":$status,"bytes":$bytes_sent,"seconds":$request_time,'
        '"upstream":"$upstream_addr","upstream_status":"$upstream_status",'
        '"first_byte":"$upstream_header_time","completion":"$request_completion"}}';
    access_log /dev/stdout requests;

    map $upstream_bytes_sent $reached_a_server {{
        default 1;
        "~^[-0,: ]*$" 0;
    }}
    include generation.conf;

    upstream {upstream} {{
        zone {upstream} 256k;
        least_conn;
        # Nginx refuses an upstream without a server; this one never gets a request.
        server 127.0.0.1:9 down;
        include members/*.conf;
        keepalive 64;
    }}

    server {{
        listen {port} backlog=1024;
        client_header_timeout 10s;
        client_body_timeout 15s;
        send_timeout 60s;
        reset_timedout_connection on;
        client_max_body_size {body}m;
        client_body_buffer_size 1m;
        keepalive_timeout 75s;
        keepalive_requests 10000;
        keepalive_min_timeout {keepalive_min}s;
        recursive_error_pages on;

        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Request-Id $request_id;
        proxy_buffering off;
        proxy_connect_timeout {connect}s;
        proxy_send_timeout {send}s;
        proxy_read_timeout {read}s;
        proxy_socket_keepalive on;
        proxy_next_upstream_tries 2;
        proxy_next_upstream_timeout 15s;
        add_header X-Request-Id $request_id always;
        add_header X-Upstream $upstream_addr always;

        location ~ ^/v3/(chat/completions|completions|models|models/[^/]+)$ {{
            proxy_pass http://{upstream};
            proxy_next_upstream http_404 http_503 non_idempotent;
            error_page 502 504 = @again;
        }}

        location @again {{
            if ($reached_a_server) {{
                return 502;
            }}
            proxy_pass http://{upstream};
            proxy_next_upstream error timeout http_404 http_503;
            error_page 502 504 = @failed;
        }}

        location @failed {{
            if ($reached_a_server) {{
                return 502 '{failed}';
            }}
            add_header Retry-After {retry_after} always;
            return 503 '{closed}';
        }}

        location = /healthz {{
            access_log off;
            return 200 '{{"generation":$generation}}';
        }}

        error_page 404 = @unknown_path;
        location @unknown_path {{
            return 404 '{unknown_path}';
        }}
        error_page 413 = @too_large;
        location @too_large {{
            return 413 '{too_large}';
        }}

        location / {{
            return 404;
        }}
    }}
}}
"""
