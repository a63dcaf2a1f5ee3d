"""What goes wrong with the embedded servers."""


class EmbeddedError(Exception):
    """The embedded servers cannot run here; the message says why and what to do."""
