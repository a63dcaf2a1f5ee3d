"""What an LLM worker imports."""

from fuseboard_producer.attempt import Attempt
from fuseboard_producer.call import Call
from fuseboard_producer.counters import Counters
from fuseboard_producer.no_provider import NoProviderAvailable
from fuseboard_producer.options import locate_spool
from fuseboard_producer.producer import Producer
from fuseboard_producer.request import Request
from fuseboard_producer.router import Router
from fuseboard_producer.routing_state import RouterCounters
from fuseboard_producer.selection import Candidate, Plan

__all__ = [
    "Attempt",
    "Call",
    "Candidate",
    "Counters",
    "NoProviderAvailable",
    "Plan",
    "Producer",
    "Request",
    "Router",
    "RouterCounters",
    "locate_spool",
]
