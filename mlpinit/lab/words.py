"""The surnames for the playground: one string that a page unpacks, half as long as the list.

The letters are coded by a range coder with the counts of what followed the last one, two and three
letters so far, weighted 1, 4 and 32: the model of chapter 1, learned by both sides as they go.
`python -m mlpinit.lab.words` writes `words.js` anew, and `unpack.js` reads it.

Source of the coder: G. N. N. Martin, "Range encoding" (1979), in its carry-less form.
"""

from __future__ import annotations

import base64
from pathlib import Path

from mlpinit import corpus

__all__ = ["SCRIPT", "encode", "script"]

SCRIPT = Path(__file__).with_name("words.js")
SYMBOLS = 27
TOP, BOTTOM, WHOLE = 1 << 40, 1 << 32, 1 << 48


def encode(words: tuple[str, ...]) -> bytes:
    """Words of the letters a to z as bytes that `unpack.js` turns back into them."""
    counts = [[0] * SYMBOLS ** (order + 1) for order in (1, 2, 3)]
    low, whole, out = 0, WHOLE - 1, bytearray()
    for word in words:
        places = [0, 0, 0]
        for symbol in [*(ord(letter) - 96 for letter in word), 0]:
            a, b, c = (place * SYMBOLS for place in places)
            frequencies = [
                1 + (counts[0][a + s] >> 3) + 4 * counts[1][b + s] + 32 * counts[2][c + s]
                for s in range(SYMBOLS)
            ]
            whole //= sum(frequencies)
            low += sum(frequencies[:symbol]) * whole
            whole *= frequencies[symbol]
            while True:
                if low // TOP != (low + whole) // TOP:
                    if whole >= BOTTOM:
                        break
                    whole = BOTTOM - low % BOTTOM
                out.append(low // TOP)
                low, whole = low % TOP * 256, whole * 256
            for k, place in enumerate(places):
                counts[k][place * SYMBOLS + symbol] += 1
                places[k] = (place * SYMBOLS + symbol) % SYMBOLS ** (k + 1)
    for _ in range(6):
        out.append(low // TOP)
        low = low % TOP * 256
    return bytes(out)


def script() -> str:
    """The text of `words.js`: a classic script that gives the surnames to the playground."""
    words = corpus.load().words
    text = base64.b64encode(encode(words)).decode()
    return (
        "// Made by `python -m mlpinit.lab.words`: the surnames, for `unpack.js`.\n"
        f'(globalThis.mlpinitLab ??= {{}}).packedWords = {{ n: {len(words)}, text: "{text}" }};\n'
    )


if __name__ == "__main__":
    SCRIPT.write_text(script(), encoding="utf-8")
