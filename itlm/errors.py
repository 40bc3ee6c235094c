"""The named errors of this project. They have their own module, so that any module can raise and catch them."""

__all__ = ["Collapsed", "Damaged", "DataError", "Diverged", "GridError", "MachineFault", "Missing", "Refused"]


class Collapsed(RuntimeError):
    """A discriminator gives many images the same loss, so that its ranking is arbitrary."""


class Damaged(ValueError):
    """A recorded file is damaged; the message names the file, the line and the remedy."""


class DataError(RuntimeError):
    """A data set is not available; the message names the set, the folder, the cause and the remedy."""


class Diverged(RuntimeError):
    """A training loss became NaN or infinite; the message says when."""


class GridError(ValueError):
    """A grid of runs cannot be used; the message names the file, the line and the fault."""


class MachineFault(RuntimeError):
    """The machine failed, not the run; for example, a GPU ran out of memory."""


class Missing(RuntimeError):
    """A package or program is not installed; the message names it and says how to install it."""


class Refused(ValueError):
    """A checkpoint belongs to another run or fit; the message names the file and the remedy."""
