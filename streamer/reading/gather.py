"""Copies rows of mapped shards into one array: a whole batch in one call.

Always holds: every address read is one of a row inside an array that `Memory` was given and keeps alive.

How: the process's memory is seen as overlapping rows, one beginning at each byte, and indexed by the rows' addresses. A
loop of row copies costs a view and an assignment a row; docs/decisions.md has both figures.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.errors import PartError

Ints = npt.NDArray[np.int64]


class Memory:
    """Arrays (rows, seq_len) of one dtype and length, by address."""

    def __init__(self, dtype: str, seq_len: int) -> None:
        self.dtype, self.seq_len = np.dtype(dtype), seq_len
        self.row_bytes = self.dtype.itemsize * seq_len
        self._row = np.dtype((self.dtype, (seq_len,)))
        self.clear()

    def __len__(self) -> int:
        return len(self._arrays)

    def clear(self) -> None:
        """Lets go of every array; addresses given before are void."""
        self._arrays: list[npt.NDArray[Any]] = []
        self._low, self._high = 0, 0
        self._rows: npt.NDArray[Any] = np.zeros(0, f"V{self.row_bytes}")

    def add(self, array: npt.NDArray[Any]) -> int:
        """The address of an array's first row. Raises: PartError when it has other rows."""
        if array.dtype != self.dtype or array.shape[1:] != (self.seq_len,) or not array.flags.c_contiguous:
            raise PartError(f"a shard has rows of {array.dtype} {array.shape[1:]}, the run {self.dtype} ({self.seq_len},)")
        low = int(array.__array_interface__["data"][0])
        high = low + array.nbytes
        if not self._arrays or low < self._low or high > self._high:
            self._low = min(low, self._low) if self._arrays else low
            self._high = max(high, self._high)
            self._rows = np.asarray(_Span(self._low, self._high - self._low - self.row_bytes + 1, f"|V{self.row_bytes}"))
        self._arrays.append(array)
        return low

    def offsets(self, addresses: Ints) -> Ints:
        """Addresses as `gather` takes them, until another array is added."""
        return addresses - self._low

    def gather(self, offsets: Ints) -> npt.NDArray[Any]:
        """The rows that begin at these offsets: a writable (len(offsets), seq_len) array of the caller's own."""
        return self._rows[offsets].view(self._row)


class _Span:
    """Lets numpy see `count` overlapping items from an address on."""

    def __init__(self, address: int, count: int, item: str) -> None:
        self.__array_interface__ = {
            "data": (address, True),
            "shape": (count,),
            "strides": (1,),
            "typestr": item,
            "version": 3,
        }
