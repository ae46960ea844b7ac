"""The text of ``nginx.conf`` with a place for each setting."""

CONFIGURATION = """\
worker_processes {workers};
worker_rlimit_nofile {open_files};
# A replaced worker finishes its streams, for longer than a drain waits for them.
worker_shutdown_timeout {shutdown}s;
pid /tmp/nginx.pid;
error_log /dev/stderr notice;
# The watcher counts the workers that died.
error_log /tmp/alerts.log alert;

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

    map $status $refusal {{
{refusals}
    }}
    map $status $retry_after {{
        default "";
        429 {retry_after};
        503 {retry_after};
    }}
    map "$status $request_uri" $allow {{
        default "";
        "~^405 /v3/models" "GET, OPTIONS";
        "~^405 /v3/" "POST, OPTIONS";
    }}
    include generation.conf;
{limit_zone}{upstreams}
    server {{
        listen {port} backlog=1024 reuseport;
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
        proxy_next_upstream_timeout 15s;
        add_header X-Request-Id $request_id always;
        add_header X-Upstream $upstream_addr always;
        add_header Retry-After $retry_after always;
        add_header Allow $allow always;
        error_page {pages} 502 504 /refused;

        location ~ ^/v3/(chat/completions|completions)$ {{
            if ($request_method !~ "^(POST|OPTIONS)$") {{
                return 405;
            }}
{limit}{first}        }}

        location ~ ^/v3/models(/[^/]+)?$ {{
            if ($request_method !~ "^(GET|OPTIONS)$") {{
                return 405;
            }}
{first}        }}

{again}        location @failed {{
            if ($upstream_bytes_sent !~ "[1-9]") {{
                return 503;
            }}
            if ($upstream_status ~ "504$") {{
                return 504;
            }}
            return 502;
        }}

        location = /healthz {{
            access_log off;
            return 200 '{{"generation":$generation}}';
        }}

        location = /refused {{
            internal;
            return 500 $refusal;
        }}

        location / {{
            return 404;
        }}
    }}
}}
"""

UPSTREAM = """\

    upstream {name} {{
        zone {name} 256k;
        least_conn;
        # Nginx refuses an upstream without a server; this one never gets a request.
        server 127.0.0.1:9 down;
        include {members}/*.conf;
{sticky}{keepalive}    }}
"""

KEEP_ALIVE = """\
        keepalive 64;
"""

NO_KEEP_ALIVE = """\
        # A request that an idle connection lost counts as not tried, so that it could take down
        # more than two servers.
        keepalive 0;
"""

STICKY = """\
        # A new session by least connections, then where the cache of its prompt is.
        sticky learn create={variable} lookup={variable} zone=sessions:4m timeout=1h header;
"""

FIRST = """\
            # What was matched is what is sent, however the client wrote it.
            rewrite ^ $uri break;
            proxy_pass http://{upstream};
            proxy_next_upstream {again_on};
{bounds}            error_page 502 504 = @again;
            error_page {pages} /refused;
"""

AGAIN = """\
        location {name} {{
{stop}            proxy_pass http://{upstream};
            # Each server once, as long as none has got the request.
            proxy_next_upstream error timeout http_404 http_503;
            error_page 502 504 = {after};
            error_page {pages} /refused;
        }}

"""

WAITING = """\
            # The second one has as long for its answer as the first.
            proxy_next_upstream_tries 2;
            proxy_next_upstream_timeout 0;
"""

STOP_WHEN_SENT = """\
            # The last one had it, and did not answer.
            if ($upstream_bytes_sent ~ "[1-9][0-9]*$") {
                return 502;
            }
"""

STOP_WHEN_SENT_TWICE = """\
            # Two servers had it, or the one that had it last was silent until the time-out.
            set $tries "$upstream_bytes_sent/$upstream_status";
            if ($upstream_bytes_sent ~ "[1-9].*[,:].*[1-9]") {
                return 502;
            }
            if ($tries ~ "[1-9][0-9]*/.*504$") {
                return 502;
            }
"""

LIMIT_ZONE = """\
    # A worker that died never takes back what it counted, so that those after it count anew.
    limit_conn_zone $workers_died zone=requests:64k;
"""

LIMIT = """\
            limit_conn requests {most};
            limit_conn_status 429;
            limit_conn_log_level info;
"""
