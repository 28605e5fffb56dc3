"""What can end a command early, each with its exit code (DESIGN section 4)."""


class BiasCareError(Exception):
    """A failure with one clear line for its reader; a stage that failed unless a subclass says otherwise."""

    exit_code = 1


class BadInput(BiasCareError, ValueError):
    """Input that is wrong in itself: a key, an adapter, a level, a missing folder."""

    exit_code = 2


class GateRefused(BiasCareError):
    """The data are readable, but a gate of the configuration refuses them."""

    exit_code = 3
