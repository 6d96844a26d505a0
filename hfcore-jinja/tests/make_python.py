"""Writes golden/python.json: what Python and Jinja's sandbox make of tables of operands.

    python make_python.py        (CPython 3.11, jinja2 3.1.6)

Each case is [operation, operands..., result]. An operand is an index into `values`, where JSON stands for itself but for
{"t": [...]} a tuple, {"d": [[key, value], ...]} a dict, {"m": "text"} a Markup, {"r": [a, b, c]} a range,
{"u": "name"} an undefined name, {"f": "repr"} a float, {"i": "digits"} an integer, {"k"|"v"|"e": dict} a view of keys,
values or items (entries). A result is a repr, or "!Exception: message".
"""

import json
import random
import sys
from datetime import datetime, timedelta
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

random.seed(3)
ENV = ImmutableSandboxedEnvironment()
VALUES, INDEX, CASES = [], {}, []


def encode(x):
    if isinstance(x, Markup):
        return {"m": str(x)}
    if x is None or isinstance(x, (bool, str)):
        return x
    if isinstance(x, int):
        return {"i": str(x)}
    if isinstance(x, float):
        return {"f": repr(x)}
    if isinstance(x, list):
        return [encode(y) for y in x]
    if isinstance(x, tuple):
        return {"t": [encode(y) for y in x]}
    if isinstance(x, dict):
        return {"d": [[encode(k), encode(v)] for k, v in x.items()]}
    if isinstance(x, range):
        return {"r": [x.start, x.stop, x.step]}
    if isinstance(x, jinja2.Undefined):
        return {"u": x._undefined_name}
    for key, kind in [("k", {}.keys()), ("v", {}.values()), ("e", {}.items())]:
        if type(x) is type(kind):
            return {key: encode(dict(x.mapping))}
    raise TypeError(type(x))


def ref(x):
    text = json.dumps(encode(x), sort_keys=True)
    if text not in INDEX:
        INDEX[text] = len(VALUES)
        VALUES.append(encode(x))
    return INDEX[text]


def outcome(function):
    try:
        result = function()
        if isinstance(result, complex) or isinstance(result, bytes):
            return "!Unsupported: "
        if isinstance(result, int) and not -(1 << 127) <= result < 1 << 127:
            return "!Unsupported: "
        if callable(result):
            return "callable"
        return repr(result)
    except Exception as error:
        return f"!{type(error).__name__}: {error}"


def case(op, function, *operands):
    result = outcome(lambda: function(*operands))
    views = (type({}.keys()), type({}.items()))
    if op == "-" and any(isinstance(x, views) for x in operands) or result.endswith("complex exponentiation"):
        result = "!Unsupported: "
    found = [op, *map(ref, operands), result]
    if len(result) < 600 and " at 0x" not in result and found not in CASES:
        CASES.append(found)


def U(name):
    return ENV.undefined(name=name)


def BINARY():
    import operator as o

    return {"+": o.add, "-": o.sub, "*": o.mul, "/": o.truediv, "//": o.floordiv, "%": o.mod, "**": o.pow,
            "==": o.eq, "!=": o.ne, "<": o.lt, "<=": o.le, ">": o.gt, ">=": o.ge, "in": lambda a, b: a in b}


D = {"a": 1, "b": [1, {"c": None}], 1: "one", (1, 2): 2.5}
OPERANDS = [
    None, True, False, 0, 1, -1, 7, -7, 2**53 + 1, 10**20, 2**126, 0.0, -0.0, 1.0, 2.5, -3.5, 1e300, 1e16, 0.1,
    float("inf"), float("nan"), "", "a", "abc", "ABC", "é日本", "%s-%s", "%d", Markup("<b>"), Markup(""), "a<b&'\"",
    [], [1], [1, 2.0, "x"], ["b", "a"], (), (1,), (1, "a"), (1, 2), {}, {"a": 1}, {1: 2, "x": [1]}, D, range(3),
    range(5, 0, -2), U("nope"), D.keys(), D.values(), D.items(), {"a": 1}.keys(),
]
NUMBERS = [0, 1, -1, 2, -2, 3, 7, -7, 10, 255, 2**31, -(2**63), 2**64 + 1, 10**30, True, 0.5, -0.5, 1.5, 2.5, -2.25, 1e-5,
           1e22, 1e-7, 123456789.125, float("inf"), float("-inf"), float("nan"), 3.0, 1 / 3]

KEYS = [0, 1, -1, 2, -3, 5, True, None, "a", "0", "x", 1.0, (1, 2), [], U("k"), "items", "upper", "append", "__class__", "pop",
        "real", "_x", "b", "start", "format", "count", 10**30]
def use(x):
    """An undefined value shows itself by its error."""
    if isinstance(x, jinja2.Undefined):
        raise (x._undefined_exception)(x._undefined_message)
    return x


def everything():
    for name, function in BINARY().items():
        pairs = [(a, b) for a in OPERANDS for b in OPERANDS]
        for a, b in random.sample(pairs, 90):
            if name in ("*", "**") and any(isinstance(x, int) and abs(x) > 10**6 for x in (a, b)):
                continue
            case(name, function, a, b)
        if name != "in":
            for a, b in random.sample([(a, b) for a in NUMBERS for b in NUMBERS], 50):
                if name == "**" and isinstance(a, int) and isinstance(b, int) and abs(b) > 200:
                    continue
                case(name, function, a, b)
    for x in OPERANDS + NUMBERS:
        case("neg", lambda x: -x, x)
        case("pos", lambda x: +x, x)
        case("len", len, x)
        case("bool", bool, x)
        case("str", str, x)
        case("repr", repr, x)
        case("list", list, x)
        case("int", int, x)
        case("float", float, x)
        case("hash", lambda x: hash(x) and 0 or 0, x)
    for x in OPERANDS:
        for key in random.sample(KEYS, 11):
            case("item", lambda x, k: x[k], x, key)
            case("getitem", lambda x, k: use(ENV.getitem(x, k)), x, key)
            if isinstance(key, str):
                case("getattr", lambda x, k: use(ENV.getattr(x, k)), x, key)
    slices()
    methods()
    printf()
    formats()
    dumps()
    texts()
    dates()


def slices():
    sequences = ["", "hello", "héllo wörld", Markup("<a>b"), [], [1, 2, 3, 4, 5], (1, 2, 3), range(10), range(9, -3, -3), U("s"),
                 None, 5, {"a": 1}, {}.keys()]
    bounds = [None, 0, 1, -1, 2, -2, 3, 5, -5, 7, -100, 100, 10**20, -(10**20), "x", 1.0, True]
    steps = [None, None, 1, -1, 2, -2, 3, -3, 0, 100,]
    for x in sequences:
        for _ in range(35):
            a, b, c = random.choice(bounds), random.choice(bounds), random.choice(steps)
            case("slice", lambda x, a, b, c: x[a:b:c], x, a, b, c)


TEXTS = ["", " ", "abc", "  padded\t\n", "Hello World", "a,b,,c", "aXbXc", "line\r\nline2\nx\x0by\x85z\u2028w", "ÀÉß ŉ ǆ ﬁ",
         "ΑΣ ΣΑΣ. ΌΣΟΣ", "İI ıi", "they're bill's", "don't STOP me-now 3rd", "tab\tb\tcc\t", "日本語 テキスト", "１２３", "²x½", "x_1",
         "-42", "+7.5", "aaaa", "mixedCASE", "UPPER", "\x1f\x1c a\u3000", "naïve café", "😀 smile😀", "Ǆ ǅ ǆ", "{}", "<|im_start|>user\n",
         "a b  c   d ", "xxabcxx", "Title Case", "Title case", "ᾳ ᾼ", "\u0345x", "ꙁ Ꙁ", "a\u00ada", "1_000", "0x1F"]
ARGS = {
    "strip": [(), (None,), ("x",), (" ab",), ("",), (1,), ("x", "y"), ("日語",)],
    "lstrip": [(), (None,), ("xa",), (1,)],
    "rstrip": [(), (None,), ("xc\n",), ([],)],
    "split": [(), (None, 1), (",",), ("X", 1), ("",), (None, 0), ("aa",), ("a", -1), (1,), (",", "x"), (None, 2), (" ",), (1, 2, 3)],
    "rsplit": [(), (None, 1), (",", 1), ("X", 1), ("",), (None, 0), ("aa",), ("a", 1), (None, 2), (" ", 2)],
    "splitlines": [(), (True,), (False,), (1, 2)],
    "partition": [(",",), ("",), ("X",), (1,), (" ",), ()],
    "rpartition": [(",",), ("",), ("X",), (None,), (" ",)],
    "replace": [("a", "b"), ("a", "b", 1), ("", "-"), ("", "-", 2), ("X", ""), ("a", 1), (1, "a"), ("a",), ("a", "b", -1), ("a", "b", "c"),
                ("aa", "<"), ("a", "b", 0), (None, "x"), ("a", None), ("a", "b", 1, 2)],
    "find": [("a",), ("",), ("", 3), ("", 100), ("a", 1), ("a", -2), ("a", None, 2), ("zz",), (1,), (), ("a", "b"), ("a", 3, 1), ("", 3, 1), ("é",), ("a", 1, 2, 3)],
    "rfind": [("a",), ("",), ("a", 1), ("a", 0, -1), ("zz",), ("語",)],
    "index": [("a",), ("zz",), ("", 1), (None,)],
    "rindex": [("a",), ("zz",), ("b", 0, 3)],
    "count": [("a",), ("",), ("aa",), ("", 1, 3), ("a", -3), (1,), ("", 100)],
    "startswith": [("a",), (("a", "H"),), ("",), ("b", 1), (1,), ((1,),), ([],), (("zz", 5),), (), ("", 100), ("a", 0, 0), ((),), ("a", 1, 2, 3)],
    "endswith": [("c",), (("c", "d"),), ("",), ("b", 0, 2), (None,), ((None, "c"),), ("", 2, 1)],
    "removeprefix": [("a",), ("xx",), (1,), ("",), (None,), ()],
    "removesuffix": [("c",), ("xx",), (1,)],
    "join": [(["a", "b"],), ([],), ("xyz",), ([1],), (["a", None],), (5,), ({"k": 1},), (("a",),), (U("u"),), (None,), (["a", Markup("<")],), ()],
    "center": [(10,), (11, "*"), (2,), (10, "ab"), ("x",), (10, 1), (9, "é"), (-5,), ()],
    "ljust": [(10,), (7, "-"), (2,), (7, ""), (1, 2, 3)],
    "rjust": [(10,), (7, "-"), (2,), (None,)],
    "zfill": [(8,), (2,), (-1,), ("x",), (1.5,)],
    "expandtabs": [(), (4,), (0,), (1,), (-3,), ("x",)],
    "encode": [()],
    "nope": [()],
}
EVERY = {"strip", "split", "rsplit", "splitlines", "upper", "lower", "title", "capitalize", "swapcase", "casefold", "istitle", "isupper"}
for no_args in ("upper lower title capitalize swapcase casefold isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric "
                "isprintable isspace istitle isupper").split():
    ARGS[no_args] = [(), (1,)]


def call(x, name, args, kwargs):
    function = ENV.getattr(x, name)
    if isinstance(function, jinja2.Undefined):
        use(function)
    return function(*args, **kwargs)


def method(x, name, args=(), kwargs=None):
    case("call", lambda x, n, a, k: call(x, n, a, k), x, name, tuple(args), kwargs or {})


def methods():
    for name, calls in ARGS.items():
        for args in calls:
            few = 2 if args and args[0] == 1 else 7
            for x in random.sample(TEXTS, len(TEXTS) if not args and name in EVERY else few):
                method(x, name, args)
    for x in ["a b", "abc"]:
        method(x, "split", (), {"maxsplit": 1})
        method(x, "split", ("b",), {"sep": "a"})
        method(x, "split", (), {"x": 1})
        method(x, "rsplit", (), {"sep": "b", "maxsplit": 1})
        method(x, "splitlines", (), {"keepends": True})
        method(x, "strip", (), {"chars": "a"})
        method(x, "find", (), {"x": "a"})
        method(x, "upper", (), {"x": "a"})
        method(x, "join", (), {"x": "a"})
        method(x, "replace", ("a", "b"), {"count": 1})
    for name, args in [("upper", ()), ("strip", ("<",)), ("split", ("<",)), ("replace", ("b", "<i>")), ("join", (["<", Markup("<"), 5],)),
                       ("center", (9,)), ("center", (9, "<")), ("partition", ("b",)), ("title", ()), ("find", ("b",)), ("isalpha", ()),
                       ("splitlines", ()), ("removeprefix", ("<",)), ("ljust", (9, "-")), ("startswith", ("<",)), ("escape", ("<",))]:
        method(Markup("<b>x"), name, args)
    for x in [D, {}, {"a": 1, "get": 2}]:
        for name, args in [("get", ("a",)), ("get", ("zz",)), ("get", ("zz", 5)), ("get", ()), ("get", ([],)), ("get", (1, 2, 3)), ("items", ()),
                           ("keys", ()), ("values", ()), ("copy", ()), ("items", (1,)), ("pop", ("a",)), ("update", ({},)), ("clear", ()),
                           ("setdefault", ("a",)), ("popitem", ()), ("fromkeys", (["x", "y"],)), ("fromkeys", ("ab", 1)), ("get", (1.0,)), ("get", (True,))]:
            method(x, name, args)
        method(x, "get", ("a",), {"default": 1})
    for x in [[1, 2, 2.0, "a", None], [], (1, "a", 1), range(2, 9, 3)]:
        for name, args in [("index", (2,)), ("index", ("zz",)), ("index", (1, 1)), ("index", (2, 0, 2)), ("index", (2, "x")), ("count", (2,)), ("count", ()), ("copy", ()),
                           ("append", (1,)), ("pop", ()), ("sort", ()), ("reverse", ()), ("extend", ([],)), ("insert", (0, 1)), ("remove", (1,)), ("clear", ()), ("index", (5,))]:
            method(x, name, args)
    for x in [0, 5, -255, True, 2**100, 1.5, 3.0, float("inf"), float("nan"), -0.0, 1e20]:
        for name in ["bit_length", "bit_count", "is_integer", "as_integer_ratio", "conjugate", "nope"]:
            method(x, name)
            method(x, name, (1,))


def printf():
    conversions = "d i u x X o e E f F g G s r a c y %".split()
    flags = ["", "5", "-5", "05", "+", " ", "#", "+05", ".2", "8.3", "-8.3", "#.0", ".0", "08.2", "+08", "#010", "20.10", "l", "-08", "# 6"]
    values = [5, -5, 0, 255, True, 3.7, -0.0, 1e10, 1e-10, 123456.789, float("nan"), float("-inf"), "text", "é", None, [1], 10**25,
              Markup("<"), U("u"), {"a": 1}]
    for c in conversions:
        for _ in range(28):
            case("%", lambda a, b: a % b, f"<%{random.choice(flags)}{c}>", random.choice(values))
    more = [("%s %s", (1, 2)), ("%s", ()), ("%s", (1, 2)), ("%(a)s", {"a": 1}), ("%(a)s %(b)5d|", {"a": "x", "b": 3}), ("%(a)s", (1,)), ("%(zz)s", {"a": 1}),
            ("%(a", {"a": 1}), ("%", 1), ("%5", 1), ("%*d", (5, 3)), ("%-*d|", (5, 3)), ("%*d|", (-5, 3)), ("%.*f", (2, 3.14159)), ("%*d", ("x", 3)), ("100%%", ()),
            ("100%% %s", "a"), ("abc", 5), ("abc", [1]), ("abc", {}), ("%(a)s", [1]), ("%s", [1, 2]), ("%s %s", [1, 2]), ("%c", "ab"), ("%c", 65), ("%c", 0x110000), ("%c", "é"),
            ("%d", "5"), ("%d%%", 50), ("é%y", 5), ("%(a(b))s", {"a(b)": 7}), ("%s", None), ("%s", ((1, 2),)), ("%.3s|", "abcdef"), ("%10.3s|", "abcdef"), ("%r", "a'b"), ("%a", "é"),
            ("%x", 1.5), ("%d", 1.5), ("%d", float("inf")), ("%i", None), ("%s", U("q")), ("%.50f", 0.1), ("%.0f", 0.5), ("%.0f", 1.5), ("%.0f", 2.5), ("%.1f", 0.25), ("%.2f", 2.675),
            ("%g", 1e16), ("%g", 100000.0), ("%g", 1000000.0), ("%g", 0.0001), ("%g", 0.00001), ("%#g", 1.0), ("%.3g", 1234.5), ("%e", 0.0), ("%.99999999999999999999f", 1.0),
            (Markup("<%s>"), "<&"), (Markup("%s"), Markup("<")), (Markup("%r"), "<"), (Markup("%d"), 5), (Markup("%d"), "5"), (Markup("%d"), "x"), (Markup("%x"), 5), (Markup("%(a)s"), {"a": "<"}),
            (Markup("%s %s"), ("<", 1)), (Markup("%f"), 1.5), (Markup("%s"), None), (Markup("%c"), 65), ("%s", Markup("<")), ("%s" , True), ("%5%|", ()), ("%(a)d", {"a": "x"})]
    for a, b in more:
        case("%", lambda a, b: a % b, a, b)


def formats():
    specs = ["", "5", "<5", ">5", "^5", "=5", "*^9", "05", "+", " ", "-", "#x", "x", "X", "b", "o", "#b", "#o", "d", "n", "c", ",", "_", "_x", ",x", ",_", "010,", "012_", "e", ".2e", "E",
             "f", ".0f", ".3f", ",.2f", "F", "g", ".3g", "G", "%", ".1%", "s", ".2s", "10.2s", "z.1f", "+.1f", "+08.2f", " 010.3f", "<010", "q", ".", "abc", ".2d", "+c", "é>6", "#.0f", "#g", ".3",
             ".17", ".0", ",d", "+,d", "020,.3f", "015_d", "zd", "99999999999999999999", "#,x", "_b", "#_b", "032_b", "c5", "{", "\t>4", "+s", "#s", "=s", ",s", " s", "z", ",,", "__", "_,"]
    values = [0, 5, -5, 12345678, -1234.5678, 0.0, -0.0, 1.0, 0.5, 1e16, 1e-5, 99.995, float("nan"), float("inf"), True, 65, "text", "é", "", None, [1], U("u"), 10**30, 0.000123456, 1234567.891]
    for spec in specs:
        for x in random.sample(values, 9):
            case("format", format, x, spec)
    cases = [("{}", (1,)), ("{} {}", (1, 2)), ("{1} {0}", ("a", "b")), ("{0} {}", (1,)), ("{} {0}", (1,)), ("{a}", (), {"a": 1}), ("{a.b}", (), {"a": {"b": 2}}), ("{a[b]}", (), {"a": {"b": 2}}),
             ("{0[1]}", ([1, 2],)), ("{0[-1]}", ([1, 2],)), ("{0[9]}", ([1, 2],)), ("{0.zz}", (1,)), ("{0.zz!r}", (1,)), ("{0.__class__}", (1,)), ("{0.append}|", ([],)), ("{!r}", ("a",)), ("{!s}", (None,)),
             ("{!a}", ("é",)), ("{!x}", (1,)), ("{:>{}}", ("a", 5)), ("{:{w}.{p}f}", (3.14159,), {"w": 8, "p": 2}), ("{:{:{}}}", (1, 2, 3)), ("{", ()), ("}", ()), ("{a", ()), ("{{}}", ()), ("{{{}}}", (1,)),
             ("{a!", ()), ("{a!r", ()), ("{a!rx}", ()), ("{a!}", ()), ("{a[", ()), ("{a.}", (), {"a": 1}), ("{0[]}", (1,)), ("{0[0]b}", ([1],)), ("{5}", ()), ("{b}", ()), ("{a{b}}", ()), ("{a:{b}", (), {"a": 1}),
             ("{.x}", (1,)), ("{ a}", ()), ("x}", ()), ("{a:}}", (), {"a": 1}), ("{0:d}", ("x",)), ("{0.real} {0.imag}", (5,)), ("{99999999999999999999}", ()), ("{:,}", (1234567,)), ("{0[a]}", ("text",)),
             ("{0!r:>6}", ("a",)), ("{:<10}|", (Markup("<"),)), ("{}", (U("u"),)), ("{:5}", (U("u"),)), ("{0.x}", (U("u"),)), ("{:s}", ([],)), ("{0[x][y]}", ({"x": {"y": "z"}},)), ("{0.x.y}", ({"x": {"y": "z"}},)),
             (Markup("<{}>"), ("<",)), (Markup("{}"), (Markup("<"),)), (Markup("{:5}"), (Markup("<"),)), (Markup("{!r}"), ("<",)), (Markup("{:>3}"), ("<",)), (Markup("{a}"), (), {"a": None}), ("{:", (1,)), ("{0:{", (1,))]
    for f, a, *k in cases:
        case("call", lambda x, n, a, k: call(x, n, a, k), f, "format", a, k[0] if k else {})
    for f, m in [("{a}", {"a": 1}), ("{zz}", {"a": 1}), ("{0}", {"a": 1}), ("{}", {}), ("{a}", [1]), ("{a}", 5)]:
        method(f, "format_map", (m,))
    method("x", "format_map", ())
    method("x", "format_map", ({},), {"a": 1})


def dumps():
    values = [None, True, 5, -0.0, 1e16, 1e-7, float("nan"), float("-inf"), "", "a\"b\\c\n\t\r\b\f\x00\x1f\x7f", "é日😀\u2028</script>", [], {}, (), [1, [2, []]], {"a": {"b": [1, 2]}}, D,
              {1: 1, 2.5: 2, True: 3, None: 4}, {"b": 1, "a": 2}, {2: 1, 1: 2}, {"b": 1, 1: 2}, {(1,): 2}, U("u"), [U("u")], range(3), {}.keys(), Markup("<a>"), 10**30, ((1, 2), {"x": ()}), {float("nan"): 1}]
    styles = [(False, None, None, False), (True, None, None, False), (False, 2, None, False), (False, 0, None, False), (False, -1, None, False), (False, "\t", None, False), (False, True, None, False),
              (False, None, (",", ":"), False), (False, 4, (";", "="), True), (False, None, None, True), (False, 1.5, None, False), (False, None, ["a"], False), (False, None, 5, False), (False, None, (1, 2), False),
              (False, None, "ab", False), (False, None, "abc", False)]
    for x in values:
        for style in styles[:10]:
            case("dumps", lambda x, s: json.dumps(x, ensure_ascii=s[0], indent=s[1], separators=s[2], sort_keys=s[3]), x, style)
    for style in styles[10:]:
        case("dumps", lambda x, s: json.dumps(x, ensure_ascii=s[0], indent=s[1], separators=s[2], sort_keys=s[3]), [1, {"a": 2}], style)


def texts():
    for text in ["5", " 5 ", "-5", "+5", "5_000", "5__0", "_5", "5_", "", " ", "0x1F", "٣", "1e5", "1.5", ".5", "5.", "inf", "-Infinity", "nan", "x", "1e400", "1_0.0_1", "1._5", "0b1", "- 5", "12345678901234567890123",
                 "infinit", "e5", "१.५", "1e", "\u30005\x1c", "9" * 50, "00012", "1\x00", "'"]:
        case("int", int, text)
        case("float", float, text)
    chars = random.sample([chr(c) for c in range(0x30000) if not 0xD800 <= c < 0xE000], 400) + [chr(c) for c in range(0x100)]
    for start in range(0, len(chars), 50):
        text = "".join(chars[start : start + 50])
        for name in ["upper", "lower", "title", "casefold", "swapcase", "capitalize", "strip", "splitlines", "split"]:
            method(text, name)
        case("repr", repr, text)


def dates():
    show = lambda moment, pattern: (datetime(1970, 1, 1) + timedelta(seconds=moment)).strftime(pattern)
    patterns = [f"%{c}" for c in "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyYzZf%"] + [
        "%d %B %Y", "%Y-%m-%d", "%-d %b", "%-m/%-d/%y", "%-I:%M %p", "%_H", "%^a", "%#p", "%e", "%5d", "%-j", "100%", "%Q", "é%Yé", "", "%^B %d", "%010d", "%-H", "%_m", "%0e"]
    for moment in [0, 1709214305, 1609459200, 1735689599, 951782400, 1230768000, 1104537600, -1, 1893456000 + 43200]:
        for pattern in patterns:
            case("strftime", show, moment, pattern)


everything()
path = Path(__file__).parent / "golden" / "python.json"
path.parent.mkdir(exist_ok=True)
lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in CASES)
text = '{"values":' + json.dumps(VALUES, ensure_ascii=False, separators=(",", ":")) + ',\n"cases":[\n' + lines + "]}\n"
path.write_text(text, encoding="utf-8")
print(len(CASES), "cases,", len(text.encode()), "bytes", file=sys.stderr)
