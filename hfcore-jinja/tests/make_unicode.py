"""Writes src/python/unicode_tables.rs: what CPython 3.11 (Unicode 14) says of each character.

    python make_unicode.py > ../src/python/unicode_tables.rs
"""

import unicodedata

CHARS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(test):
    """First and last code points of the runs for which the test holds."""
    runs = []
    for c in CHARS:
        if test(c):
            if runs and runs[-1][1] == ord(c) - 1:
                runs[-1][1] = ord(c)
            else:
                runs.append([ord(c), ord(c)])
    return runs


def cased(c):
    return (c + "a").title()[-1] == "a"


def ignorable(c):
    return ("a" + c + "Σ").lower()[-1] == "ς" and ("1" + c + "Σ").lower()[-1] != "ς"


def table(name, doc, runs):
    print(f"/// {doc}")
    print("#[rustfmt::skip]")
    print(f"pub(super) const {name}: &[(u32, u32)] = &[")
    line = "   "
    for first, last in runs:
        item = f" ({first:#x}, {last:#x}),"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line)
    print("];")


def mapping(name, doc, pairs):
    print(f"/// {doc}")
    print("#[rustfmt::skip]")
    print(f"pub(super) const {name}: &[(u32, &str)] = &[")
    line = "   "
    for c, text in pairs:
        escaped = "".join(f"\\u{{{ord(x):x}}}" for x in text)
        item = f' ({ord(c):#x}, "{escaped}"),'
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line)
    print("];")


print("//! Characters as `CPython` 3.11 knows them; written by `tests/make_unicode.py`, Unicode", unicodedata.unidata_version)
print()
table("PRINTABLE", "`str.isprintable`.", ranges(str.isprintable))
table("ALPHA", "`str.isalpha`.", ranges(str.isalpha))
table("DECIMAL", "`str.isdecimal`; digits come in runs from 0 to 9.", ranges(str.isdecimal))
table("DIGIT", "`str.isdigit`.", ranges(str.isdigit))
table("NUMERIC", "`str.isnumeric`.", ranges(str.isnumeric))
table("LOWER", "`str.islower`.", ranges(str.islower))
table("UPPER", "`str.isupper`.", ranges(str.isupper))
table("TITLE", "`str.istitle` beside the uppercase letters.", ranges(lambda c: c.istitle() and not c.isupper()))
table("CASED", "A letter after which `str.title` writes small ones.", ranges(cased))
table("IGNORABLE", "What is passed over when a final sigma is looked for.", ranges(ignorable))
table("XID_START", "What an identifier starts with.", ranges(str.isidentifier))
table("XID_CONTINUE", "What an identifier goes on with.", ranges(lambda c: ("a" + c).isidentifier()))
mapping("TO_TITLE", "Title case where it is not upper case.", [(c, c.title()) for c in CHARS if c.title() != c.upper()])
mapping("TO_FOLDED", "`str.casefold` where it is not `str.lower`.", [(c, c.casefold()) for c in CHARS if c.casefold() != c.lower()])
for first, last in ranges(str.isdecimal):
    assert all(unicodedata.decimal(chr(c)) == (c - first) % 10 for c in range(first, last + 1))
