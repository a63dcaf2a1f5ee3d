-- Has the server notice within half a minute that this session's machine is gone, and give its lock to another: by default
-- it waits for hours. Without effect on a Unix socket, where it knows at once. Safe to repeat.
SELECT
    set_config('tcp_keepalives_idle', '10', false),
    set_config('tcp_keepalives_interval', '5', false),
    set_config('tcp_keepalives_count', '3', false);
