"""Whether a server is one of Redis Cluster, which this is not made for."""

from typing import Final

from redis import Redis
from redis.exceptions import ResponseError

from fuseboard_schema.redis_client import RedisRefusedError

CLUSTER_ACTION: Final = (
    "set REDIS_URL to a server without cluster mode, alone or with replicas behind one address; "
    "one is enough, as consumers keep it nearly empty"
)


def is_cluster(redis: Redis) -> bool:
    """Say whether this is a server of Redis Cluster; no where the user may not ask.

    Raises what Redis raises when it is down.
    """
    try:
        return int(redis.info("cluster").get("cluster_enabled", 0)) == 1
    except RedisRefusedError:
        raise
    except ResponseError:
        return False
