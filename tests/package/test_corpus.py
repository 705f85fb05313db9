"""`mlpinit.corpus`: files good and bad, downloads from a server on loopback, examples."""

from __future__ import annotations

import gc
import hashlib
import http.server
import os
import pickle
import random
import re
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlpinit import corpus

SURNAMES_SHA256 = "9764a6dcdd95a33d76023be0a948a8d4270b982bddfc01980cb0fc4c4846fbd8"
WORDS = b"emma\nolivia\nava"
WORDS_SHA256 = hashlib.sha256(WORDS).hexdigest()

words_of_any_script = st.lists(
    st.text(st.characters(categories=["L"]), min_size=1, max_size=8), min_size=2, max_size=12
)


def of_words(words: list[str]) -> corpus.Corpus:
    return corpus.Corpus(tuple(words), "".join(sorted(set("".join(words)))), "test", "")


def loop(c: corpus.Corpus, words: list[str], block_size: int) -> tuple[list, list]:
    """The contexts as a textbook writes them: one word, one character at a time."""
    index = {ch: i + 1 for i, ch in enumerate(c.alphabet)} | {".": 0}
    X, Y = [], []
    for word in words:
        context = [0] * block_size
        for ch in [*word, "."]:
            X.append(context)
            Y.append(index[ch])
            context = [*context[1:], index[ch]]
    return X, Y


# The embedded corpus


def test_the_surnames_are_the_pinned_file() -> None:
    c = corpus.load()
    assert c == corpus.load("surnames")
    assert (c.sha256, c.source) == (SURNAMES_SHA256, "surnames")
    data = Path(corpus.__file__).with_name("data").joinpath("surnames.txt").read_bytes()
    assert hashlib.sha256(data).hexdigest() == SURNAMES_SHA256
    assert list(c.words) == data.decode("ascii").split()
    assert len(c.words) == len(set(c.words)) == 32_033
    assert c.alphabet == "abcdefghijklmnopqrstuvwxyz"
    assert c.vocab_size == 27


def test_a_corpus_can_be_frozen_pickled_and_shown() -> None:
    c = corpus.load()
    assert pickle.loads(pickle.dumps(c)) == c
    assert len(repr(c)) < 200
    with pytest.raises(AttributeError):
        c.words = ()


# Encode and decode


@given(words_of_any_script, st.data())
def test_decode_undoes_encode(words: list[str], data: st.DataObject) -> None:
    c = of_words(words)
    text = data.draw(st.text(st.sampled_from("." + c.alphabet)))
    indices = c.encode(text)
    assert c.decode(indices) == text
    assert c.decode(torch.tensor(indices, dtype=torch.int64)) == text
    assert all(0 <= i < c.vocab_size for i in indices)


@given(words_of_any_script)
def test_the_boundary_is_0_and_the_alphabet_follows_sorted(words: list[str]) -> None:
    c = of_words(words)
    assert c.encode("." + c.alphabet) == list(range(c.vocab_size))


def test_an_unknown_character_is_named_with_its_place() -> None:
    expected = "character 'é' at position 3 of 'café' is not in the alphabet of surnames: '.abc"
    with pytest.raises(ValueError, match=re.escape(expected)):
        corpus.load().encode("café")


@pytest.mark.parametrize("index", [-1, 27])
def test_an_unknown_index_is_named_with_its_range(index: int) -> None:
    expected = (
        f"index {index} at position 1 stands for no character of surnames; indices are 0 to 26"
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        corpus.load().decode([0, index])


def test_a_fraction_is_no_index() -> None:
    with pytest.raises(TypeError):
        corpus.load().decode([1.0])


# Files


def write(folder: Path, data: bytes) -> Path:
    path = folder / "words.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        b"emma\nava\n",
        b"emma\nava",
        b"emma\r\nava\r\n",
        b"emma\rava",
        b"\xef\xbb\xbfemma\nava\n",
        b"\xef\xbb\xbfemma\r\nava",
        b" emma\t\nava \n",
        b"emma\nava\n\n \r\n",
    ],
)
def test_harmless_differences_between_files_are_accepted(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path, data)
    c = corpus.load(path)
    assert (c.words, c.alphabet, c.vocab_size) == (("emma", "ava"), "aemv", 5)
    assert (c.source, c.sha256) == (str(path), hashlib.sha256(data).hexdigest())
    assert corpus.load(str(path)) == c


@given(words_of_any_script)
def test_any_list_of_words_in_any_script_is_read_back(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        c = corpus.load(write(Path(folder), "\n".join(words).encode()))
    assert list(c.words) == words
    assert set(c.alphabet) == set("".join(words))
    assert sorted(c.alphabet) == list(c.alphabet)


def test_repeated_words_hyphens_and_apostrophes_are_kept(tmp_path: Path) -> None:
    c = corpus.load(write(tmp_path, "o'hara\no'hara\nanne-zoë".encode()))
    assert c.words == ("o'hara", "o'hara", "anne-zoë")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", " is empty; a corpus is two words or more, one a line"),
        (b"\xef\xbb\xbf", " is empty;"),
        (b"\n\n", " is empty;"),
        (b"emma\n", " holds a single word, 'emma'; a corpus is two words or more"),
        (b"emma\n\nava", ", line 2: a blank line between words; delete it"),
        (b"\nemma\nava", ", line 1: a blank line between words"),
        (b"emma\r\nava.\r\n", ", line 2: 'ava.' contains '.', which marks where words begin"),
        (b"emma\nde la cruz\nava", ", line 2: 'de la cruz' contains white space (' '); write one"),
        ("emma\na\u00a0b".encode(), ", line 2: 'a\\xa0b' contains white space"),
        (
            "emma\nava".encode("utf-16-le"),
            ", line 1: 'e\\x00m\\x00m\\x00a\\x00' contains a control",
        ),
        (b"emma\nolivi\xe9\n", ", line 2: byte 0xe9 at offset 10 is not UTF-8"),
        (b"\xef\xbb\xbfemma\r\n\xff\n", ", line 2: byte 0xff at offset 9 is not UTF-8"),
        (b"emma\nava\xc3", ", line 2: byte 0xc3 at offset 8 is not UTF-8 (unexpected end of data)"),
        ("emma\nava".encode("utf-16"), ", line 1: byte 0xff at offset 0 is not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_with_what_and_where(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = write(tmp_path, data)
    with pytest.raises(corpus.CorpusError, match=re.escape(f"{path}{message}")):
        corpus.load(path)


def test_a_missing_file_is_reported_with_its_absolute_path_and_the_known_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = (
        "'surname' is not a corpus: it is none of the names 'surnames', 'names', and the file "
        f"{tmp_path / 'surname'} was not found"
    )
    with pytest.raises(corpus.CorpusError, match=re.escape(expected)):
        corpus.load("surname")


def test_a_folder_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(corpus.CorpusError, match=re.escape(f"{tmp_path} is a folder, not a file")):
        corpus.load(tmp_path)


def test_a_path_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = write(tmp_path, WORDS) / "below"
    with pytest.raises(corpus.CorpusError, match=re.escape(f"{path} cannot be read (")):
        corpus.load(path)


def test_a_path_object_is_never_taken_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("names").write_bytes(WORDS)
    assert corpus.load(Path("names")).words == ("emma", "olivia", "ava")


# Downloads


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.path == "/missing.txt":
            self.send_error(404)
            return
        if self.path == "/silent.txt":
            self.server.release.wait(10)
            return
        body = WORDS + b"!" if self.path == "/other.txt" else WORDS
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 100 * (self.path == "/cut.txt")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.release = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder that does not exist yet, for a corpus whose hash is that of `WORDS`."""
    monkeypatch.setenv("MLPINIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(corpus, "NAMES_SHA256", WORDS_SHA256)
    yield tmp_path / "cache"
    gc.collect()  # a socket left open warns here, and not in some later test


def test_the_names_are_downloaded_once(server: Server, folder: Path) -> None:
    c = corpus.load("names", url=f"{server.url}/names.txt")
    assert c.words == ("emma", "olivia", "ava")
    assert (c.source, c.sha256) == ("names", WORDS_SHA256)
    assert corpus.load("names", url=f"{server.url}/names.txt") == c
    assert server.requests == ["/names.txt"]
    assert [path.name for path in folder.iterdir()] == ["names.txt"]


def test_a_file_placed_by_hand_needs_no_network(folder: Path) -> None:
    folder.mkdir()
    (folder / "names.txt").write_bytes(WORDS)
    assert corpus.load("names", url="http://127.0.0.1:1/names.txt").sha256 == WORDS_SHA256


def test_a_file_with_another_hash_is_replaced_by_the_right_one(
    server: Server, folder: Path
) -> None:
    folder.mkdir()
    (folder / "names.txt").write_bytes(b"another\nlist")
    assert corpus.load("names", url=f"{server.url}/names.txt").words == ("emma", "olivia", "ava")
    assert (folder / "names.txt").read_bytes() == WORDS


def test_a_file_with_another_hash_outlives_a_failed_download(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "names.txt").write_bytes(b"another\nlist")
    with pytest.raises(corpus.CorpusError, match="already there, of another hash, was left as it"):
        corpus.load("names", url=f"{server.url}/missing.txt")
    assert [path.name for path in folder.iterdir()] == ["names.txt"]
    assert (folder / "names.txt").read_bytes() == b"another\nlist"


@pytest.mark.parametrize(
    ("file", "came"),
    [
        (
            "other.txt",
            f"sent something else: .*{WORDS_SHA256}.*{hashlib.sha256(WORDS + b'!').hexdigest()}",
        ),
        ("missing.txt", "could not download .*404"),
        ("cut.txt", "could not download .*15 bytes read, 100 more expected"),
        ("silent.txt", "could not download .*timed out"),
    ],
)
def test_a_failed_download_says_what_came_and_leaves_no_file(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, file: str, came: str
) -> None:
    monkeypatch.setattr(corpus, "TIMEOUT", 0.2 if file == "silent.txt" else 10.0)
    with pytest.raises(corpus.CorpusError, match=came) as caught:
        corpus.load("names", url=f"{server.url}/{file}")
    message = str(caught.value)
    assert f"{server.url}/{file}" in message
    assert f"place the file yourself at {folder / 'names.txt'}" in message
    assert f"its SHA-256 must be {WORDS_SHA256}" in message
    assert "already there" not in message
    assert list(folder.iterdir()) == []


def test_no_network_is_reported_and_leaves_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(corpus.CorpusError, match=r"could not download .*refused") as caught:
        corpus.load("names", url=f"http://127.0.0.1:{port}/names.txt")
    assert f"place the file yourself at {folder / 'names.txt'}" in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("url", ["", "names.txt", "file:///names.txt", "http://["])
def test_an_address_that_is_none_is_reported(folder: Path, url: str) -> None:
    with pytest.raises(corpus.CorpusError, match=re.escape(f"could not download {url}: ")):
        corpus.load("names", url=url)
    assert list(folder.iterdir()) == []


def test_a_cache_folder_that_is_a_file_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, WORDS)
    for place in (path, path / "below"):
        monkeypatch.setenv("MLPINIT_CACHE", str(place))
        expected = f"cannot keep names.txt in the folder {place}: "
        with pytest.raises(corpus.CorpusError, match=re.escape(expected)) as caught:
            corpus.load("names", url="http://127.0.0.1:1/names.txt")
        assert "Set MLPINIT_CACHE to a folder that you can write to" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["words.txt"]
    assert path.read_bytes() == WORDS


def test_a_cache_folder_without_leave_to_write_is_reported(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    folder.mkdir()
    with monkeypatch.context() as patch:  # a root user may write anywhere, so pretend
        patch.setattr(tempfile, "NamedTemporaryFile", refuse)
        with pytest.raises(corpus.CorpusError, match=r"cannot keep .*Permission denied"):
            corpus.load("names", url=f"{server.url}/names.txt")
    assert list(folder.iterdir()) == []
    assert server.requests == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write there")
def test_a_read_only_cache_folder_is_reported(server: Server, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    with pytest.raises(corpus.CorpusError, match=r"cannot keep .*ermission"):
        corpus.load("names", url=f"{server.url}/names.txt")
    assert list(folder.iterdir()) == []


def test_the_cache_folder_is_read_from_the_environment_at_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPINIT_CACHE", str(tmp_path / "one"))
    assert corpus.cache_folder() == tmp_path / "one"
    monkeypatch.setenv("MLPINIT_CACHE", str(tmp_path / "two"))
    assert corpus.cache_folder() == tmp_path / "two"
    for unset in (lambda: monkeypatch.setenv("MLPINIT_CACHE", ""), monkeypatch.undo):
        unset()
    monkeypatch.delenv("MLPINIT_CACHE", raising=False)
    assert corpus.cache_folder().name == "mlpinit"


# Contexts and splits


@given(words_of_any_script, st.integers(1, 5))
def test_contexts_are_those_of_the_plain_loop(words: list[str], block_size: int) -> None:
    c = of_words(words)
    examples = corpus.contexts(c, words, block_size)
    X, Y = loop(c, words, block_size)
    assert examples.X.tolist() == X
    assert examples.Y.tolist() == Y
    assert len(examples) == len(Y) == sum(len(w) + 1 for w in words)
    assert examples.X.dtype == examples.Y.dtype == torch.int64
    assert examples.X.is_contiguous()


def test_contexts_of_no_words_and_of_an_empty_word() -> None:
    c = corpus.load()
    none = corpus.contexts(c, [], 4)
    assert (none.X.shape, none.Y.shape, len(none)) == ((0, 4), (0,), 0)
    assert none.X.dtype == none.Y.dtype == torch.int64
    empty = corpus.contexts(c, ["a", "", "b"], 2)
    assert (empty.X.tolist(), empty.Y.tolist()) == loop(c, ["a", "", "b"], 2)


@pytest.mark.parametrize("block_size", [0, -1, 2.0, True, "3", None])
def test_a_block_size_is_a_whole_number_from_1(block_size: object) -> None:
    expected = re.escape(f"block_size is {block_size!r}; it is a whole number, 1 or more")
    with pytest.raises(ValueError, match=expected):
        corpus.contexts(corpus.load(), ["lee"], block_size)
    with pytest.raises(ValueError, match=expected):
        corpus.split(corpus.load(), block_size=block_size)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("lee", "words is the text 'lee'; pass a list of words"),
        (["lee", "Lee"], "character 'L' at position 0 of 'Lee' is not in the alphabet of surnames"),
        (["lee", "st.john"], "'st.john' contains '.', which only marks a word's ends"),
    ],
)
def test_words_that_cannot_be_examples_are_refused(words: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        corpus.contexts(corpus.load(), words)


@pytest.mark.parametrize(("seed", "block_size"), [(42, 3), (7, 1)])
def test_a_split_shuffles_words_and_cuts_them_80_10_10(seed: int, block_size: int) -> None:
    c = corpus.load()
    words = list(c.words)
    random.Random(seed).shuffle(words)
    cuts = {"train": words[:25_626], "dev": words[25_626:28_829], "test": words[28_829:]}
    parts = corpus.split(c, seed, block_size)
    for name, part in cuts.items():
        got = getattr(parts, name)
        X, Y = loop(c, part, block_size)
        assert torch.equal(got.X, torch.tensor(X))
        assert torch.equal(got.Y, torch.tensor(Y))
    assert list(c.words[:3]) == ["smith", "johnson", "williams"]  # the list itself keeps its order


def test_a_split_of_a_few_words_may_have_empty_parts() -> None:
    parts = corpus.split(of_words(["ab", "c"]))
    assert len(parts.dev) == 0
    assert len(parts.train) + len(parts.test) == 5


def test_the_names_split_as_published(names_corpus: corpus.Corpus) -> None:
    assert names_corpus.sha256 == corpus.NAMES_SHA256
    assert len(names_corpus.words) == len(corpus.load("surnames").words)
    assert len(set(names_corpus.words)) == 29_494
    assert names_corpus.words[:3] == ("emma", "olivia", "ava")
    assert names_corpus.vocab_size == 27
    parts = corpus.split(names_corpus)
    assert [len(p) for p in (parts.train, parts.dev, parts.test)] == [182_625, 22_655, 22_866]
    first = [names_corpus.decode(x) for x in parts.train.X[:8]]
    assert first == ["...", "..y", ".yu", "yuh", "uhe", "hen", "eng", "..."]
    assert names_corpus.decode(parts.train.Y[:16]) == "yuheng.diondre.x"


# Distinct contexts


@given(words_of_any_script, st.integers(1, 16))
def test_distinct_contexts_are_counted_as_a_counter_counts(
    words: list[str], block_size: int
) -> None:
    examples = corpus.contexts(of_words(words), words, block_size)
    found = corpus.distinct(examples)
    expected = Counter(tuple(x) for x in examples.X.tolist())
    assert [tuple(x) for x in found.X.tolist()] == sorted(expected)
    assert found.counts.tolist() == [expected[x] for x in sorted(expected)]
    assert len(found) == len(expected)
    assert found.X.dtype == found.counts.dtype == torch.int64


@pytest.mark.parametrize("block_size", [13, 14])
def test_contexts_too_long_to_number_are_counted_all_the_same(block_size: int) -> None:
    c = corpus.load()  # 27**13 fits into 63 bits, 27**14 does not
    examples = corpus.contexts(c, ["zzyzxzzyzxzzyzx", "zzyzxzzyzxzzyzx", "lee"], block_size)
    found = corpus.distinct(examples)
    expected = Counter(tuple(x) for x in examples.X.tolist())
    assert {tuple(x): n for x, n in zip(found.X.tolist(), found.counts.tolist(), strict=True)} == (
        expected
    )


def test_no_contexts_have_no_distinct_ones() -> None:
    found = corpus.distinct(corpus.contexts(corpus.load(), [], 3))
    assert (found.X.shape, found.counts.shape, len(found)) == ((0, 3), (0,), 0)


def test_a_mean_over_distinct_contexts_weighted_by_counts_is_the_mean_over_all() -> None:
    c = corpus.load()
    examples = corpus.contexts(c, c.words[:3000])
    table = torch.randn(27, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = corpus.distinct(examples)
    weighted = (table[found.X].prod(1) * found.counts).sum() / found.counts.sum()
    assert weighted.item() == pytest.approx(table[examples.X].prod(1).mean().item(), rel=1e-12)
    assert len(found) < len(examples) / 5


@pytest.mark.parametrize(
    ("letter", "name"),
    [
        ("\ufeff", "U\\+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("\u2060", "U\\+2060 WORD JOINER"),
        ("\u202e", "U\\+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\u00ad", "U\\+00AD SOFT HYPHEN"),
    ],
)
def test_letters_that_nobody_sees_are_refused_by_their_names(
    tmp_path: Path, letter: str, name: str
) -> None:
    path = write(tmp_path, f"\ufeffzoë\nma{letter}x\nbo\n".encode())
    with pytest.raises(corpus.CorpusError, match=f"line 2: .*contains {name}.*delete it"):
        corpus.load(path)
