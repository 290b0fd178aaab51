"""`pulang audit verify`: everything that is kept, derived anew from the bytes of the log.

It reads one moment of the database, in batches and in bounded memory, while staff go on working,
and writes nothing. Each difference is a `Fault`: where, what was expected, what is there.
"""

from shared.runtime.audit.verify import Report, verify

__all__ = ["Report", "verify"]
