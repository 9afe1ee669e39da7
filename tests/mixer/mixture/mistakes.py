"""Mistakes in a mixture file: the text, and what the one line about it must name."""

from typing import NamedTuple

HEAD = 'name = "m"\nseq_len = 8\n'
RAW = '[[component]]\nstreams = "raw/*"\nshare = 1\n'  # lines 3 to 5
WHOLE = HEAD + RAW
TWO = HEAD + '[[component]]\nstreams = "raw/*"\nshare = 0.5\n[[component]]\nstreams = "synthetic/*"\nshare = 0.5\n'
EXTENDED = 'extends = "base@1"\n[set]\n'


class Mistake(NamedTuple):
    """`line`: where it stands; `says`: key, value, what is allowed, remedy; `by_schema`: whether the schema finds it."""

    text: str
    line: int
    says: tuple[str, ...]
    by_schema: bool = True


def added(line: str, *says: str, by_schema: bool = True) -> Mistake:
    """One more line in the component of a right file."""
    return Mistake(WHOLE + line + "\n", 6, says, by_schema)


def replaced(old: str, new: str, line: int, *says: str, by_schema: bool = True) -> Mistake:
    assert old in WHOLE
    return Mistake(WHOLE.replace(old, new), line, says, by_schema)


def extended(line: str, *says: str, by_schema: bool = False) -> Mistake:
    """One line of [set]."""
    return Mistake(EXTENDED + line + "\n", 3, says, by_schema)


MISTAKES = [
    # no TOML, or hardly
    Mistake("", 1, ("empty", "name, seq_len"), False),
    Mistake("  \n\n", 1, ("empty",), False),
    replaced("seq_len = 8", "seq_len = = 8", 2, "'seq_len = = 8'", "not TOML", "Invalid value", by_schema=False),
    replaced("share = 1", "share 1", 5, "'share 1'", "Expected '='", by_schema=False),
    replaced('"raw/*"', '"raw/*', 4, "streams =", "correct the line", by_schema=False),
    replaced("share = 1", "share = 1\nshare = 2", 6, "'share = 2'", "Cannot overwrite a value", by_schema=False),
    Mistake(WHOLE + "[component.pin]\na = 1\n[component.pin]\n", 8, ("[component.pin]", "Cannot declare"), False),
    Mistake("[[component]", 1, ("[[component]", "not TOML"), False),
    replaced("share = 1", "share = 00.5", 5, "'share = 00.5'", by_schema=False),
    replaced("share = 1", "share = 0,5", 5, "'share = 0,5'", by_schema=False),
    replaced("share = 1", "share = 1%", 5, "'share = 1%'", by_schema=False),
    replaced('name = "m"', "name = m", 1, "'name = m'", "Invalid value", by_schema=False),
    Mistake("# \x00\n" + WHOLE, 1, ("not TOML",), False),
    Mistake("# \u2028\x85\n" + WHOLE.replace("seq_len = 8", "seq_len"), 3, ("'seq_len' is not TOML",), False),
    added("x = " + "[" * 8 + "]" * 8, "no key 'x'"),
    added("x = " + "[" * 90 + "]" * 90, "nested too deep", "flat table", by_schema=False),
    Mistake("# \n# \ud800\n" + WHOLE, 2, ("surrogate", "UTF-8"), False),
    replaced("seq_len = 8", "seq_len = " + "9" * 5000, 1, "digits", "smaller", by_schema=False),
    added("a." * 5000 + "b = 1", "dotted key", "shorter", by_schema=False),
    added("y = 1\n" * 30_000, "keys and values", "shorten", by_schema=False)._replace(line=25_001),
    Mistake("#" * (1 << 20) + "\n" + WHOLE, 0, ("1,048,", "shorten"), False),
    # the mixture
    replaced('name = "m"', "", 1, "name is missing", "add name", "'enhanced'"),
    replaced('name = "m"', "name = 3", 1, "name = 3", "one word of a-z"),
    replaced('name = "m"', 'name = ""', 1, "name = ''", "one word of a-z"),
    replaced('name = "m"', 'name = "My Mixture"', 1, "name = 'My Mixture'", "one word of a-z"),
    replaced('name = "m"', 'name = "m@2"', 1, "name = 'm@2'", "one word of a-z"),
    replaced('name = "m"', 'name = "../m"', 1, "name = '../m'", "one word of a-z"),
    replaced('name = "m"', 'name = "a\\nb"', 1, "name = 'a\\nb'", "one word of a-z"),
    replaced("seq_len = 8", "", 1, "seq_len is missing", "such as 8192"),
    replaced("seq_len = 8", 'seq_len = "8"', 2, "seq_len = '8'", "whole number from 1 to 16777216"),
    replaced("seq_len = 8", "seq_len = true", 2, "seq_len = True", "whole number"),
    replaced("seq_len = 8", "seq_len = 8.5", 2, "seq_len = 8.5", "whole number"),
    replaced("seq_len = 8", "seq_len = 0", 2, "seq_len = 0", "from 1"),
    replaced("seq_len = 8", "seq_len = -8", 2, "seq_len = -8", "from 1"),
    replaced("seq_len = 8", "seq_len = 999999999999", 2, "seq_len = 999999999999", "16777216"),
    replaced("seq_len = 8", "seq_len = 0x" + "f" * 5000, 2, "a number of 20000 bits", "16777216", by_schema=False),
    replaced("seq_len = 8", "seqlen = 8", 2, "no key 'seqlen'", "name, seq_len", "did you mean 'seq_len'?"),
    replaced("seq_len = 8", "seq_len = 8\nowner = 'me'", 3, "no key 'owner'", "name, seq_len, component"),
    replaced("seq_len = 8", "seq_len = 8\n\"a\\nb\" = 1", 3, "no key \"'a\\\\nb'\""),
    Mistake(HEAD, 1, ("component is missing", "[[component]]"), True),
    Mistake(HEAD + "component = []\n", 3, ("component = []", "one or more tables"), True),
    Mistake(HEAD + 'component = "raw"\n', 3, ("component = 'raw'", "one or more tables"), True),
    Mistake(HEAD + "component = [1]\n", 3, ("= ", "1", "[[component]]"), True),
    Mistake(HEAD + RAW.replace("[[component]]", "[component]"), 3, ("component = {", "[[component]]"), True),
    Mistake(HEAD + RAW.replace("component", "components"), 3, ("'components'", "did you mean 'component'?"), True),
    Mistake(WHOLE + '[set]\n"raw.share" = 1\n', 6, ("set", "extends", "leave set out"), True),
    Mistake(WHOLE + "[mixture]\n", 6, ("no key 'mixture'",), True),
    # a component
    replaced('streams = "raw/*"', "", 3, "component number 1", "streams is missing", "'raw/*'"),
    replaced("share = 1", "", 3, "component raw", "share is missing", "such as 0.5"),
    replaced('"raw/*"', '""', 4, "streams = ''", "glob"),
    replaced('"raw/*"', "[]", 4, "streams = []", "at least one"),
    replaced('"raw/*"', '["raw/*", ""]', 4, "streams[2] = ''", "glob"),
    replaced('"raw/*"', "[3]", 4, "streams[1] = 3", "glob"),
    replaced('"raw/*"', "7", 4, "streams = 7", "glob"),
    replaced('"raw/*"', '"*"', 3, "first word of '*'", "add name =", by_schema=False),
    replaced('"raw/*"', '"rwa/*"', 4, "streams = 'rwa/*'", "no stream matches", "did you mean 'raw/*'?", by_schema=False),
    replaced('"raw/*"', '"raw/pyton"', 4, "'raw/pyton'", "did you mean 'raw/python'?", by_schema=False),
    replaced('"raw/*"', '["raw/*",\n"web/*"]', 5, "streams[2] = 'web/*'", "the catalog has", "raw/*", by_schema=False),
    replaced('"raw/*"', '"documents/*"', 4, "'documents/*'", "no stream matches", by_schema=False),
    replaced('"raw/*"', '"long/*"', 4, "long/go has seq_len 16", "8", "exclude it", by_schema=False),
    replaced("share = 1", 'share = "1"', 5, "share = '1'", "a number from 0 to 1"),
    replaced("share = 1", "share = true", 5, "share = True", "a number from 0 to 1"),
    replaced("share = 1", "share = nan", 5, "share = nan", "a number from 0 to 1", by_schema=False),
    replaced("share = 1", "share = inf", 5, "share = inf", "a number from 0 to 1", by_schema=False),
    replaced("share = 1", "share = -0.5", 5, "share = -0.5", "a number from 0 to 1"),
    replaced("share = 1", "share = 1.5", 5, "share = 1.5", "a number from 0 to 1"),
    replaced("share = 1", "share = 50", 5, "share = 50", "a number from 0 to 1"),
    replaced("share = 1", "share = 1979-05-27", 5, "share = datetime.date(1979", "a number from 0 to 1", by_schema=False),
    replaced("share = 1", "share = 0.9", 5, "share", "sum to 0.9", "must sum to 1", by_schema=False),
    Mistake(TWO.replace("0.5", "0.6"), 8, ("component synthetic, share", "0.6 + 0.6", "1.2", "must sum to 1"), False),
    added('exclude = ""', "exclude = ''", "glob"),
    added("exclude = 1", "exclude = 1", "glob"),
    added('exclude = "raw/*"', "exclude = 'raw/*'", "no stream is left", "exclude fewer", by_schema=False),
    added('name = "two words"', "name = 'two words'", "one word of a-z"),
    added("name = 1", "name = 1", "one word of a-z"),
    Mistake(TWO + 'name = "raw"\n', 6, ("component raw", "component number 1", "'raw' already", "add name ="), False),
    Mistake(TWO.replace("synthetic/*", "raw/go") + 'name = "b"\n', 7, ("component b", "raw/go", "in component raw"), False),
    added('within = "size"', "within = 'size'", "'tokens', 'equal', 'temperature', 'like' or a table"),
    added('within = "token"', "within = 'token'", "did you mean 'tokens'?"),
    added("within = 3", "within = 3", "or a table of weights"),
    added("within = ['tokens']", "within = ['tokens']", "or a table of weights"),
    added("within = { python = -1, go = 1 }", "within.python = -1", "a number from 0"),
    added("within = { python = nan, go = 1 }", "within.python = nan", "a number from 0", by_schema=False),
    added("within = { python = true, go = 1 }", "within.python = True", "a number from 0"),
    added("within = { python = 1e300, go = 1 }", "within.python = 1e+300", "1e12"),
    added("within = { python = 0, go = 0 }", "within", "sum to 0", "above 0", by_schema=False),
    added("within = { python = 1 }", "within", "no weight for stream raw/go", "its key go", by_schema=False),
    added("temperature = 3", "temperature = 3", "within = 'tokens'", 'within = "temperature"', by_schema=False),
    added('within = "like"', "within = 'like'", "like is missing", "'raw/*'", by_schema=False),
    added('like = "raw/*"', "like = 'raw/*'", "within = 'tokens'", 'within = "like"', by_schema=False),
    added('within = "like"\nlike = "other/*"', "like = 'other/*'", "no stream matches", by_schema=False)._replace(line=7),
    added('within = "like"\nlike = "raw/go"', "like = 'raw/go'", "no tokens of key", by_schema=False)._replace(line=7),
    added('within = "temperature"', "within = 'temperature'", "temperature is missing", "such as 3.0", by_schema=False),
    added('within = "temperature"\ntemperature = 0', "temperature = 0", "from 0.1 to 1000")._replace(line=7),
    added('within = "temperature"\ntemperature = "hot"', "temperature = 'hot'", "from 0.1 to 1000")._replace(line=7),
    added("pin = 0.5", "pin = 0.5", "a table of shares"),
    added("pin = { python = 1.5 }", "pin.python = 1.5", "a number from 0 to 1"),
    added("pin = { python = true }", "pin.python = True", "a number from 0 to 1"),
    added("pin = { python = [0.5] }", "pin.python = [0.5]", "a number from 0 to 1"),
    added("pin = { python = 0.6, go = 0.6 }", "pin", "sum to 1.2", "at most 1", by_schema=False),
    added("pin = { python = 0.5, go = 0.4 }", "pin", "sum to 0.9", "make them sum to 1", by_schema=False),
    added("pin = { pyhton = 0.5 }", "pin.pyhton = 0.5", "go, python", "did you mean 'python'?", by_schema=False),
    added('pin = { python = 0.5, "raw/python" = 0.2 }', "pin.raw/python", "pin.python holds", "leave one", by_schema=False),
    Mistake(WHOLE + "[component.pin]\npython = 0.5\ngo = 2\n", 8, ("component raw, pin.go = 2", "from 0 to 1"), True),
    added('best_tokens = "many"', "best_tokens = 'many'", "12.5B"),
    added('best_tokens = "12.5G"', "best_tokens = '12.5G'", "12.5B"),
    added("best_tokens = 12.5", "best_tokens = 12.5", "12.5B"),
    added("best_tokens = 0", "best_tokens = 0", "from 1"),
    added('best_tokens = "0B"', "best_tokens = '0B'", "from 1", by_schema=False),
    added("best_tokens = true", "best_tokens = True", "12.5B"),
    added(f'best_tokens = "{"9" * 50}"', "best_tokens = '9999", "12.5B"),
    added("best_tokens = 7", "best_tokens = 7", "0 samples", "at least 8 tokens", by_schema=False),
    added("best_tokens = 100000", "best_tokens = 100000", "hold 60 samples", "at most", by_schema=False),
    added("best_share = 0", "best_share = 0", "above 0 and at most 1"),
    added("best_share = 30", "best_share = 30", "above 0 and at most 1"),
    added("best_share = 1e-6", "best_share = 1e-06", "0 samples", by_schema=False),
    added("best_share = 0.5\nbest_tokens = 80", "best_share = 0.5", "best_tokens = 80", "leave one", by_schema=False),
    added('curve = "top-heavi"', "curve = 'top-heavi'", "table of weights by tier", "did you mean 'top-heavy'?"),
    added("curve = 4", "curve = 4", "'top-heavy' or a table of weights"),
    added('curve = "top-heavy"', "curve: stream raw/go", "no tier in its name", "scored/go/q95", by_schema=False),
    added("curve = {}", "curve", "sum to 0", "above 0", by_schema=False),
    added("curve = { q95 = 0 }", "curve", "sum to 0", "above 0", by_schema=False),
    added("curve = { q95 = -1 }", "curve.q95 = -1", "a number from 0 to 1e12, or a table"),
    added("curve = { q95 = true }", "curve.q95 = True", "or a table of weight and max_passes"),
    added("curve = { best = 4 }", "curve has no key 'best'", "two digits, such as 'q95'"),
    added("curve = { q95 = 4, q5 = 1 }", "curve has no key 'q5'", "two digits"),
    added("curve = { q95 = {} }", "curve.q95: weight is missing", "add weight"),
    added("curve = { q80 = 1, q95 = { weight = 4, cap = 2 } }", "curve.q95 has no key 'cap'", "weight, max_passes"),
    added("curve = { q80 = 1, q95 = { weight = 4, max_passes = 0 } }", "curve.q95.max_passes = 0", "from 1 to 2147483647"),
    added(
        "max_passes = 3\n[component.curve]\nq80 = 1\nq95 = { weight = 4, max_passes = 4 }", "curve.q95.max_passes = 4",
        "the component's max_passes = 3", "lower this one, or raise that", by_schema=False,
    )._replace(line=9),
    added('within = "equal"\ncurve = { q95 = 4 }', "within = 'equal'", "leave one", by_schema=False)._replace(line=7),
    added('within = { go = 1, python = 1 }\ncurve = "top-heavy"', "curve: within = {", by_schema=False)._replace(line=7),
    added(
        'within = "temperature"\ntemperature = 3\ncurve = { q95 = 4 }', "within = 'temperature'", by_schema=False,
    )._replace(line=8),
    added('curve = "top-heavy"\nbest_tokens = "1M"', "curve: best_tokens = '1M'", "leave one", by_schema=False),
    added('curve = "top-heavy"\nbest_share = 0.5', "curve: best_share = 0.5", "leave one", by_schema=False),
    added("max_passes = 0", "max_passes = 0", "whole number from 1 to 2147483647"),
    added("max_passes = 4.5", "max_passes = 4.5", "whole number"),
    added("max_passes = false", "max_passes = False", "whole number"),
    added('max_passes = "4"', "max_passes = '4'", "whole number"),
    added("max_passes = 99999999999", "max_passes = 99999999999", "2147483647"),
    added('when_dry = "panic"', "when_dry = 'panic'", "'stop', 'wait' or 'share'"),
    added('when_dry = "wiat"', "when_dry = 'wiat'", "did you mean 'wait'?"),
    added("when_dry = true", "when_dry = True", "'stop', 'wait' or 'share'"),
    added("max_pases = 4", "no key 'max_pases'", "streams, share", "did you mean 'max_passes'?"),
    added("[component.limits]", "component raw has no key 'limits'"),
    # extends
    Mistake('extends = "base"\n', 1, ("extends = 'base'", "a mixture and its version", "'enhanced@3'"), True),
    Mistake('extends = "base@0"\n', 1, ("extends = 'base@0'", "a mixture and its version"), True),
    Mistake("extends = 3\n", 1, ("extends = 3", "a mixture and its version"), True),
    Mistake('extends = "base@9"\n', 1, ("extends = 'base@9'", "does not exist", "base@1"), False),
    Mistake('extends = "bsae@1"\n', 1, ("extends = 'bsae@1'", "does not exist", "did you mean 'base'?"), False),
    Mistake('name = "new"\nextends = "new@1"\n', 2, ("extends = 'new@1'", "does not exist"), False),
    Mistake('extends = "base@1"\nseq_len = 8\n', 2, ("seq_len", "beside extends"), True),
    Mistake('extends = "base@1"\n' + RAW, 2, ("component", "beside extends", "[set]"), True),
    Mistake('extends = "base@1"\nste = 1\n', 2, ("no key 'ste'", "did you mean 'set'?"), True),
    Mistake('extends = "base@1"\nset = 1\n', 2, ("set = 1", "table of settings"), True),
    Mistake('extends = "base@1"\nname = "A"\n', 2, ("name = 'A'", "one word"), True),
    extended('"rwa.share" = 1', "no component 'rwa'", "raw", "did you mean 'raw'?"),
    extended('"raw" = 1', "no component 'raw'", "COMPONENT.KEY"),
    extended("raw.share = 1", "no component 'raw'", "COMPONENT.KEY"),
    extended('"raw.shaer" = 1', "'shaer' is not a key", "did you mean 'share'?"),
    extended('"raw.share" = 2', "component raw, share = 2", "a number from 0 to 1"),
    extended('"raw.share" = 0.5', "component raw, share", "sum to 0.5"),
    extended('"raw.pin.python" = "half"', "pin.python = 'half'", "a number from 0 to 1"),
    extended('"raw.pin.ruby" = 0.5', "pin.ruby = 0.5", "go, python"),
    extended('"raw.curve.q95.weight" = 3', "curve has no key 'q95.weight'", "two digits"),
    extended('"raw.within.python" = 3', "within is 'tokens', not a table", "set raw.within"),
    Mistake(
        WHOLE.replace("raw/*", "raw/python") + "pin = { python = 0.5 }\n", 6,
        ("component raw, pin", "sum to 0.5", "no other key", "leave pin out"), False,
    ),
    Mistake('extends = "base@1"\nunset = ["raw.max_passes"]\n', 2, ("no raw.max_passes to unset", "leave it out"), False),
    Mistake('extends = "base@1"\nunset = ["raw.share"]\n', 2, ("share is missing", "add share"), False),
    Mistake('extends = "base@1"\nunset = [1]\n', 2, ("unset[1] = 1", "such as 'synthetic.max_passes'"), True),
    Mistake('extends = "base@1"\nunset = "raw.pin"\n', 2, ("unset = 'raw.pin'", "a list of settings"), True),
]  # fmt: skip
