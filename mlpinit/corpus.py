"""The words the networks of this book learn from, and how a word becomes examples.

A `Corpus` is a list of words and the alphabet they use. `split` deals the words into three parts
and cuts each word into examples: a *context* of `block_size` characters, and the character that
follows it. The boundary character '.', index 0, stands before the first letter and after the last.
"""

from __future__ import annotations

import hashlib
import operator
import os
import random
import re
import reprlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

__all__ = [
    "BOUNDARY",
    "NAMES_SHA256",
    "NAMES_URL",
    "Contexts",
    "Corpus",
    "CorpusError",
    "DistinctContexts",
    "Splits",
    "cache_folder",
    "contexts",
    "distinct",
    "fetch",
    "load",
    "split",
]

BOUNDARY = "."
NAMES_URL = "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt"
NAMES_SHA256 = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"
TIMEOUT = 20.0
"""Seconds a server may stay silent before a download is given up."""

_NEWLINE = re.compile(r"\r\n?|\n")
_NOT_IN_A_WORD = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


class CorpusError(ValueError):
    """A corpus could not be had: no such file, a file that is no word list, a failed download.

    It is a `ValueError`, as every refusal of this package is: whatever went wrong, the name, the
    path or the address passed did not lead to a usable list of words.
    """


@dataclass(frozen=True)
class Corpus:
    """A list of words, in the order of their file, and the characters they are made of.

    `alphabet` holds the distinct characters, sorted, without the boundary '.'; the index of a
    character is its place in `'.' + alphabet`. `source` is the name or path the words came from
    and `sha256` the hash of that file's bytes.

    >>> c = load("surnames")
    >>> c.words[:3], len(c.words), c.vocab_size
    (('smith', 'johnson', 'williams'), 32033, 27)
    >>> c.encode("lee."), c.decode([12, 5, 5, 0])
    ([12, 5, 5, 0], 'lee.')
    """

    words: tuple[str, ...] = field(repr=False)
    alphabet: str
    source: str
    sha256: str

    @property
    def vocab_size(self) -> int:
        """How many characters a network must tell apart: the alphabet and the boundary."""
        return len(self.alphabet) + 1

    @cached_property
    def _index(self) -> dict[str, int]:
        return {ch: i for i, ch in enumerate(BOUNDARY + self.alphabet)}

    def encode(self, text: str) -> list[int]:
        """The index of each character of `text`; raises `ValueError` for one it does not know."""
        try:
            return [self._index[ch] for ch in text]
        except KeyError:
            at = next(i for i, ch in enumerate(text) if ch not in self._index)
            raise ValueError(
                f"character {text[at]!r} at position {at} of {reprlib.repr(text)} is not in the "
                f"alphabet of {self.source}: {reprlib.repr(BOUNDARY + self.alphabet)}"
            ) from None

    def decode(self, indices: Iterable[int]) -> str:
        """The text that `indices` (whole numbers, also a 1-D integer tensor) spell.

        Raises `ValueError` for an index outside 0 to vocab_size - 1.
        """
        known = BOUNDARY + self.alphabet
        places = [operator.index(i) for i in indices]
        for at, i in enumerate(places):
            if not 0 <= i < len(known):
                raise ValueError(
                    f"index {i} at position {at} stands for no character of {self.source}; "
                    f"indices are 0 to {len(known) - 1}"
                )
        return "".join(known[i] for i in places)


@dataclass(frozen=True, eq=False)
class Contexts:
    """Examples to learn from: `X[i]` is what is seen, `Y[i]` the character that comes next.

    - `X`: (n, block_size) int64, character indices, the most recent last
    - `Y`: (n,) int64
    """

    X: Tensor
    Y: Tensor

    def __len__(self) -> int:
        """How many examples there are, n."""
        return len(self.Y)


@dataclass(frozen=True, eq=False)
class Splits:
    """The examples of one corpus in three parts that share no word of the list."""

    train: Contexts
    dev: Contexts
    test: Contexts


@dataclass(frozen=True, eq=False)
class DistinctContexts:
    """The contexts that occur, each once, and how often each does.

    - `X`: (m, block_size) int64, in lexicographic order of the indices
    - `counts`: (m,) int64, 1 or more; they sum to the number of examples
    """

    X: Tensor
    counts: Tensor

    def __len__(self) -> int:
        """How many distinct contexts there are, m."""
        return len(self.counts)


def load(name_or_path: str | os.PathLike[str] = "surnames", *, url: str = NAMES_URL) -> Corpus:
    """A corpus by its name, or from a UTF-8 file of one word a line.

    - `"surnames"` is part of this package: the most frequent surnames of the 1990 US Census.
    - `"names"` is the first names of makemore, downloaded once from `url` (a mirror will do: the
      content must have the hash `NAMES_SHA256`) into `cache_folder()`, as names.txt.
    - anything else is the path of a file; `Path("names")` is a file of that name.

    A file may have a byte-order mark, Windows line ends, blank lines at its end, or no newline
    there; white space around a word is dropped. Refused with a `CorpusError` that gives path and
    line: a blank line between words (it would be a word without letters), white space or a control
    character inside a word, the boundary '.', bytes that are not UTF-8, fewer than two words.
    A download that fails raises `CorpusError` too, and leaves no file.

    Source of the names: A. Karpathy, makemore (2022), MIT licence.

    >>> load("surnames").alphabet
    'abcdefghijklmnopqrstuvwxyz'
    """
    if name_or_path == "surnames":
        data = resources.files(__package__).joinpath("data", "surnames.txt").read_bytes()
        return _corpus(data, source="surnames", where="the embedded surnames.txt")
    if name_or_path == "names":
        path = fetch(url, sha256=NAMES_SHA256, folder=cache_folder(), filename="names.txt")
        return _corpus(path.read_bytes(), source="names", where=str(path))
    path = Path(name_or_path).expanduser()
    return _corpus(
        _read(path, name_or_path), source=os.fspath(name_or_path), where=str(path.absolute())
    )


def cache_folder() -> Path:
    """The folder for downloads: `MLPINIT_CACHE` where that is set, else the user's own cache."""
    import pooch  # noqa: PLC0415  (a tenth of a second, needed for a download alone)

    return Path(os.environ.get("MLPINIT_CACHE") or pooch.os_cache("mlpinit")).expanduser().resolve()


def fetch(url: str, *, sha256: str, folder: str | os.PathLike[str], filename: str) -> Path:
    """The path of the file `folder/filename` with the hash `sha256`, downloaded if need be.

    A file that is there already and has this hash is used without any network; one with another
    hash is replaced, but only once the download is complete and correct. Raises `CorpusError`, and
    leaves no partial file, when the server cannot be reached, stays silent for `TIMEOUT` seconds,
    answers with an error, breaks off, or sends something else, or when the folder is unusable.
    """
    import pooch  # noqa: PLC0415  (see cache_folder)
    import requests  # noqa: PLC0415

    target = Path(folder).resolve() / filename
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=filename,
            path=target.parent,
            # Read at once: a stream given up half-way would leave its socket open.
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT, stream=False),
        )
    except requests.RequestException as error:  # an OSError as well, so it comes first
        raise _failed(f"could not download {url}: {error}", target, sha256) from error
    except OSError as error:
        raise CorpusError(
            f"cannot keep {filename} in the folder {target.parent}: {error}. Set MLPINIT_CACHE to "
            "a folder that you can write to, or make this one writable"
        ) from error
    except ValueError as error:
        raise _failed(f"{url} sent something else: {error}", target, sha256) from error
    return target


def _failed(what: str, target: Path, sha256: str) -> CorpusError:
    stays = (
        " The file already there, of another hash, was left as it is." if target.exists() else ""
    )
    return CorpusError(
        f"{what}\nNothing was kept.{stays} Try again, pass the url= of a mirror, or place the file "
        f"yourself at {target} (its SHA-256 must be {sha256}). load('surnames') needs no download."
    )


def _read(path: Path, given: object) -> bytes:
    where = path.absolute()
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(
            f"{str(given)!r} is not a corpus: it is none of the names 'surnames', 'names', and the "
            f"file {where} was not found"
        ) from None
    except OSError as error:
        kind = "is a folder, not a file" if os.path.isdir(path) else f"cannot be read ({error})"
        raise CorpusError(f"{where} {kind}; pass a UTF-8 file of one word a line") from error


def _corpus(data: bytes, *, source: str, where: str) -> Corpus:
    words = _words(_text(data, where), where)
    alphabet = "".join(sorted(set(chain.from_iterable(words))))
    return Corpus(words, alphabet, source, hashlib.sha256(data).hexdigest())


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise CorpusError(
            f"{where}, line {len(_NEWLINE.split(before))}: byte {data[error.start]:#04x} at offset "
            f"{error.start} is not UTF-8 ({error.reason}); save the file as UTF-8"
        ) from error


def _words(text: str, where: str) -> tuple[str, ...]:
    lines = [line.strip() for line in _NEWLINE.split(text)]
    while lines and not lines[-1]:
        lines.pop()
    for number, word in enumerate(lines, start=1):
        if problem := _problem(word):
            raise CorpusError(f"{where}, line {number}: {problem}")
    if len(lines) < 2:
        found = f"holds a single word, {lines[0]!r}" if lines else "is empty"
        raise CorpusError(f"{where} {found}; a corpus is two words or more, one a line")
    return tuple(lines)


def _problem(word: str) -> str | None:
    if not word:
        return "a blank line between words; delete it (only the end of the file may be blank)"
    if bad := _NOT_IN_A_WORD.search(word):
        kind = "white space" if bad[0].isspace() else "a control character"
        return f"{reprlib.repr(word)} contains {kind} ({bad[0]!r}); write one word a line"
    if odd := next((letter for letter in word if unicodedata.category(letter) == "Cf"), None):
        name = f"U+{ord(odd):04X} {unicodedata.name(odd, 'without a name')}"
        return (
            f"{reprlib.repr(word)} contains {name}, a format character that nobody sees but that "
            "would be a letter of the alphabet; delete it"
        )
    if BOUNDARY in word:
        return f"{reprlib.repr(word)} contains '.', which marks where words begin and end; drop it"
    return None


def contexts(c: Corpus, words: Sequence[str], block_size: int = 3) -> Contexts:
    """Every example that `words` hold: a word of k letters gives k + 1, the last one its end.

    The words are laid end to end with `block_size` boundaries before each, so that no context
    reaches into the word before. Returns X (n, block_size) and Y (n,), both int64, word by word,
    n = sum of (len(word) + 1).

    Raises `ValueError` for a block size below 1, a character that is not in the alphabet of `c`,
    or a '.' inside a word.

    >>> c = load("surnames")
    >>> examples = contexts(c, ["lee"])
    >>> [c.decode(x) + " -> " + c.decode([y]) for x, y in zip(examples.X, examples.Y)]
    ['... -> l', '..l -> e', '.le -> e', 'lee -> .']
    """
    _check_block_size(block_size)
    if isinstance(words, str):
        raise ValueError(f"words is the text {reprlib.repr(words)}; pass a list of words")
    codes = [c.encode(word) for word in words]
    for word, code in zip(words, codes, strict=True):
        if 0 in code:
            raise ValueError(f"{reprlib.repr(word)} contains '.', which only marks a word's ends")
    pad = [0] * block_size
    stream = torch.tensor([i for code in codes for i in (*pad, *code)] + pad)
    lengths = torch.tensor([len(code) + 1 for code in codes], dtype=torch.int64)
    word_of = torch.repeat_interleave(torch.arange(len(codes)), lengths)  # (n,) which word
    start = torch.arange(len(word_of)) + word_of * (block_size - 1)  # (n,) where its context starts
    windows = stream.unfold(0, block_size, 1)  # (len(stream) - block_size + 1, block_size)
    return Contexts(X=windows[start], Y=stream[start + block_size])


def split(c: Corpus, seed: int = 42, block_size: int = 3) -> Splits:
    """The examples of `c` in three parts: 80% of the words to train on, 10% dev, 10% test.

    A copy of the n words is shuffled by `random.Random(seed)` and cut at int(0.8 n) and
    int(0.9 n): whole words, so that no word's examples fall into two parts (a word that is listed
    twice can). Under ten words a part may be empty. Raises `ValueError` for a block size below 1.

    >>> parts = split(load("surnames"))
    >>> parts.train.X.shape, len(parts.dev), len(parts.test)
    (torch.Size([194036, 3]), 24228, 24119)
    """
    _check_block_size(block_size)
    words = list(c.words)
    random.Random(seed).shuffle(words)
    cut, end = int(0.8 * len(words)), int(0.9 * len(words))
    parts = (words[:cut], words[cut:end], words[end:])
    return Splits(*(contexts(c, part, block_size) for part in parts))


def distinct(c: Contexts) -> DistinctContexts:
    """The contexts of `c` (the rows of X), each once, with how many times each occurs.

    What a network computes from a context depends on nothing else, so a mean over all n examples
    is the mean over the m distinct ones weighted by `counts`, at a fraction of the work.

    >>> parts = distinct(contexts(load("surnames"), ["lee", "lewis"]))
    >>> parts.X.tolist()[:2], parts.counts.tolist()
    ([[0, 0, 0], [0, 0, 12]], [2, 2, 2, 1, 1, 1, 1])
    """
    base = int(c.X.max()) + 1 if len(c) else 1
    block_size = c.X.shape[1]
    if base**block_size >= 2**63:  # no int64 can number the contexts: sort the rows themselves
        return DistinctContexts(*torch.unique(c.X, dim=0, return_counts=True))
    place = base ** torch.arange(block_size - 1, -1, -1)  # a context read as a number
    keys = c.X @ place
    if base**block_size <= 4 * len(c):  # count them all: quicker than to sort those there are
        counts = torch.bincount(keys)
        keys = counts.nonzero()[:, 0]
        counts = counts[keys]
    else:
        keys, counts = torch.unique(keys, return_counts=True)
    return DistinctContexts(X=keys[:, None] // place % base, counts=counts)


def _check_block_size(block_size: object) -> None:
    if not isinstance(block_size, int) or isinstance(block_size, bool) or block_size < 1:
        raise ValueError(f"block_size is {block_size!r}; it is a whole number, 1 or more")
