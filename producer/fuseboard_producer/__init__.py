"""What an LLM worker imports."""

from fuseboard_producer.call import Call
from fuseboard_producer.counters import Counters
from fuseboard_producer.options import locate_spool
from fuseboard_producer.producer import Producer

__all__ = ["Call", "Counters", "Producer", "locate_spool"]
