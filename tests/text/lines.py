"""Lines of text for tokenizer tests: many scripts, code, whitespace, odd and invalid bytes; seeded."""

from __future__ import annotations

import random
import unicodedata

ENGLISH = (
    "The quick brown fox jumps over the lazy dog. It's what we've said; they'll say I'm wrong, won't they? "
    "He'd DON'T'VE'LL isn't 'S 'T 'RE o'clock rock'n'roll \u2019tis don\u2019t naïve café résumé Zürich. "
    "Pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism supercalifragilistic. "
    "In 1984 the price rose by 12.5% to $3,141.59 (see section 4.2.1), i.e. about 1e-9 or 0x7fffffff."
).split()
CHINESE = "今天天气很好，我们一起去公园散步吧。人工智能正在改变世界！模型有多少个参数？北京大学位于海淀区。「你好」《红楼梦》、——……"
JAPANESE = "こんにちは世界。カタカナとひらがな、漢字が混ざった文章です。ﾊﾝｶｸ ｶﾞｷﾞ"
ARABIC = "مرحبا بالعالم، كيف حالك اليوم؟ اللُّغَةُ العَرَبِيَّةُ جَمِيلَةٌ ١٢٣٤٥"
HINDI = "नमस्ते दुनिया, आप कैसे हैं? हिन्दी क्षेत्र में ज़िंदगी क़िला १२३४५"
THAI = "สวัสดีชาวโลก วันนี้อากาศดีมาก ๑๒๓ น้ำ"
KOREAN = "안녕하세요 세계! 오늘 날씨가 정말 좋네요. 대한민국 한글"
RUSSIAN = "Привет, мир! Съешь же ещё этих мягких французских булок, да выпей чаю."
OTHERS = "Γειά σου Κόσμε ἀρχή שָׁלוֹם עולם Việt Nam ở đâu Էջ ქართული ျမန္မာ ትግርኛ Ǆ ǅ ﬁ ﬂ ß ẞ ſ K Å Ω ½ Ⅷ ² ₃ ①"
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "1️⃣", "🧑🏿‍🚀", "🫠", "☃", "✂︎"]
CODE = [
    'def f(x: int) -> str:\n    return f"{x!r:>10}"  # comment\n',
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * 2.0f;\n}\n",
    "SELECT * FROM t WHERE a<>'b' AND c>=10;",
    '<div class="x">&nbsp;</div>\r\n',
    '{"key": [1, 2.50, null, true], "emoji": "\\ud83d"}',
    "https://example.org/a/b?c=d&e=%20f#frag",
    "x = y**2 if not z else -1; lambda: None\r\n\r\n",
    '#!/bin/sh\nset -eu\n[ -n "$X" ] || exit 1\n',
]
SPACES = [
    " ",
    "  ",
    "    ",
    " " * 17,
    "\t",
    "\t\t",
    "\n",
    "\n\n",
    "\r\n",
    "\r\n\r\n",
    " \n",
    "\n ",
    "\n  \n",
    "\u00a0",
    "\u3000",
    "\u2009",
    "\u200b",
    "\u2028",
    "\u0085",
    "\v",
    "\f",
    " \t ",
    "\u1680",
    "\u180e",
    "\ufeff",
    "\u202f",
]
COMBINING = [
    "e\u0301",
    "a\u0308\u0323",
    "a\u0323\u0308",
    "\u1112\u1161\u11ab",
    "\uac00\u11a8",
    "n\u0303o",
    "\u212b",
    "\u0344",
    "q\u0307\u0323",
    "\u0915\u093c",
    "\u0958",
    "\u2126",
    "\ufb1d",
    "\u0301x",
    "<\u0338",
    "\u1e9b\u0323",
    "\uf900",
    "\U0002f81f",
]
DIGITS = ["0", "7", "42", "123", "1234", "12345", "1234567890123", "3.14159", "1,000,000", "٣٤", "１２３", "²³", "Ⅻ"]
PUNCT = [
    "!",
    "...",
    "?!",
    "--",
    "——",
    "***",
    "(((",
    "\"'",
    "'",
    "''s",
    "'s't",
    "`~",
    "$",
    "€5",
    "@#%^&",
    "¿",
    "/",
    "//",
    "\\n",
]
BAD = [
    b"\xff",
    b"\xc0\x80",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x80\x80",
    b"\xf0\x9f",
    b"\xfe\xfe",
    b"\xc3",
]


def _run(rng: random.Random, alphabet: str) -> str:
    start = rng.randrange(len(alphabet))
    return alphabet[start : start + rng.randint(1, 14)]


def _code_point(rng: random.Random) -> str:
    """Any assigned character that has been there since Unicode 6, so that every library agrees on it."""
    while True:
        char = chr(rng.choice((rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x20000))))
        if unicodedata.ucd_3_2_0.category(char) not in ("Cn", "Cs", "Co"):
            return char


def _chunk(rng: random.Random) -> str:
    scripts = (CHINESE, JAPANESE, ARABIC, HINDI, THAI, KOREAN, RUSSIAN, OTHERS)
    kind = rng.randrange(12)
    if kind <= 2:
        return " ".join(rng.choice(ENGLISH) for _ in range(rng.randint(1, 8)))
    if kind <= 4:
        return _run(rng, rng.choice(scripts))
    if kind == 5:
        return "".join(_code_point(rng) for _ in range(rng.randint(1, 5)))
    return rng.choice((EMOJI, CODE, SPACES, COMBINING, DIGITS, PUNCT)[kind - 6]) * rng.choice((1, 1, 1, 2, 3))


def text_lines(n: int, seed: int, special: list[str]) -> list[str]:
    """n valid texts (a text may hold newlines); about a third have some of `special` inside."""
    rng = random.Random(seed)
    lines = []
    for i in range(n):
        chunks = [_chunk(rng) for _ in range(rng.randint(1, 10))]
        if special and i % 3 == 0:
            for _ in range(rng.randint(1, 3)):
                word = rng.choice(special)
                cut = rng.choice((len(word), len(word), len(word), rng.randrange(len(word))))
                chunks.insert(rng.randint(0, len(chunks)), word[:cut])
        lines.append(rng.choice(("", " ", "", "\n")).join(chunks))
    return lines + long_lines()


def long_lines() -> list[str]:
    """Texts whose pieces are long enough for the merge of long pieces."""
    words = "".join(ENGLISH).replace("'", "")
    return [
        "",
        "a" * 3000,
        " " * 3000,
        " " * 3000 + "x",
        "ab" * 700,
        "\n" * 500,
        "=" * 999,
        "한" * 300,
        "中文" * 400,
        words * 3,
        "😀" * 200,
        "é" * 500,
        "e\u0301" * 300,
        "0" * 1000,
        "aA" * 500,
        "_" * 77 + "a" * 77,
    ]


def bad_lines(n: int, seed: int) -> list[bytes]:
    """n byte strings that are not valid UTF-8; what is valid in them is in NFC."""
    rng = random.Random(seed)
    lines = []
    for _ in range(n):
        parts = []
        for _ in range(rng.randint(1, 4)):
            parts.append(rng.choice(BAD) * rng.randint(0, 2))
            parts.append(unicodedata.normalize("NFC", _chunk(rng) + _chunk(rng)).encode())
            parts.append(rng.choice(BAD) * rng.randint(1, 2))
        lines.append(b"".join(parts))
    return lines
