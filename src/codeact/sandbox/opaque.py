"""What stands for values whose type cannot cross the sandbox border. Standard library only, as it runs on both sides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

DTYPE = re.compile(r"[<>|=][biufc]\d{1,2}")  # numpy's plain numbers


class Opaque:
    """Stands for a value whose type cannot cross the border. It equals nothing but itself; its items can be looked at."""

    def __init__(self, type_name: str, items: Sequence[object] | None = None) -> None:
        self.type_name = type_name
        self.items = items

    def __repr__(self) -> str:
        return f"<{self.type_name} object>"

    def __iter__(self) -> Iterator[object]:
        if self.items is None:
            raise TypeError(f"{self.type_name!r} object is not iterable")
        return iter(self.items)


class OpaqueSized(Opaque):
    """One that has a length, and is false without items."""

    def __len__(self) -> int:
        return len(self.items or ())


class OpaqueIterator(Opaque):
    """One that gives each of its items once."""

    def __init__(self, type_name: str, items: Sequence[object]) -> None:
        super().__init__(type_name)
        self.left = iter(items)

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        return next(self.left)


class OpaqueArray(Opaque):
    """An array of numpy, or a number where `shape` is None: its bytes, in hexadecimal."""

    def __init__(self, dtype: str, shape: list[int] | None, data: str) -> None:
        super().__init__("numpy.generic" if shape is None else "numpy.ndarray")
        self.dtype, self.shape, self.data = dtype, shape, data

    def made(self) -> object:
        """The array or number itself.

        Raises:
            ValueError: the bytes are not those of such an array.
        """
        import numpy

        if not DTYPE.fullmatch(self.dtype):
            raise ValueError(f"{self.dtype!r} is no plain number of numpy")
        found = numpy.frombuffer(bytes.fromhex(self.data), numpy.dtype(self.dtype)).copy()
        return found.reshape(self.shape) if self.shape is not None else found[0]

    def __repr__(self) -> str:
        try:
            return f"{self.made()!r}"
        except (ValueError, TypeError, IndexError):
            return super().__repr__()
