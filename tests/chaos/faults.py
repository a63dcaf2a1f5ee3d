"""All faults: importing their modules fills the table."""

from chaos import process_faults
from chaos.field import FAULTS

MODULES = (process_faults,)

__all__ = ["FAULTS", "MODULES"]
