"""Code that lies on any machine that runs phasemix: sources for a first corpus without downloads.

Always holds: only folders that exist are named; each has a budget of its own, so that Python does not take all of it.
"""

import sysconfig
from pathlib import Path

import msgspec

from streamer.corpus.recipe import Source

OTHER_LANGUAGES = (
    "*.js", "*.mjs", "*.ts", "*.sh", "*.sql", "*.go", "*.rb", "*.php", "*.java", "*.rs", "*.cs", "*.kt", "*.scala",
    "*.swift", "*.dart", "*.ipynb",
)  # fmt: skip
C_AND_CPP = ("*.h", "*.hpp", "*.hh", "*.c", "*.cc", "*.cpp", "*.cxx")
NOT_THE_LIBRARY = ("site-packages/*", "dist-packages/*", "test/*", "*/test/*", "*/tests/*", "idlelib/*", "lib2to3/*")


def find_sources(*, max_mb: float = 30.0) -> tuple[Source, ...]:
    """Python's standard library, installed packages, headers and scripts, of together at most `max_mb` (10**6 bytes).

    About a fifth of it goes in filters. What folders that are not there would have given, installed packages give.
    """
    library, packages = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
    shares = (
        (0.32, Source(path=library, license="PSF-2.0", include=("*.py",), exclude=NOT_THE_LIBRARY)),
        (0.24, Source(path=packages, include=C_AND_CPP)),
        (0.12, Source(path="/usr/include", include=C_AND_CPP)),
        (0.04, Source(path=packages, include=OTHER_LANGUAGES)),
        (0.07, Source(path="/usr/share", include=OTHER_LANGUAGES)),
        (0.07, Source(path="/usr/lib", include=OTHER_LANGUAGES)),
    )
    there = [(share, source) for share, source in shares if Path(source.path).is_dir()]
    rest = 1 - sum(share for share, _ in there)
    there.append((rest, Source(path=packages, include=("*.py",), exclude=("*/tests/*", "*/test/*"))))
    return tuple(msgspec.structs.replace(source, max_mb=round(share * max_mb, 3)) for share, source in there)
