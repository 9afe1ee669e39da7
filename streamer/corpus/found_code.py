"""Code that lies on any machine that runs phasemix: sources for a first corpus without downloads.

Always holds: only folders that exist are named; each has a budget of its own, so that Python does not take all of it.
"""

import sysconfig
from pathlib import Path

from streamer.corpus.recipe import Source

OTHER_LANGUAGES = (
    "*.js", "*.mjs", "*.ts", "*.sh", "*.sql", "*.go", "*.rb", "*.php", "*.java", "*.rs", "*.cs", "*.kt", "*.scala",
    "*.swift", "*.dart", "*.ipynb",
)  # fmt: skip
C_AND_CPP = ("*.h", "*.hpp", "*.hh", "*.c", "*.cc", "*.cpp", "*.cxx")
NOT_THE_LIBRARY = ("site-packages/*", "dist-packages/*", "test/*", "*/test/*", "*/tests/*", "idlelib/*", "lib2to3/*")


def find_sources(*, max_mb: float = 25.0) -> tuple[Source, ...]:
    """Python's standard library, installed packages, headers and scripts, of together at most `max_mb` (10**6 bytes)."""
    library, packages = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
    wanted = (
        Source(path=library, license="PSF-2.0", max_mb=0.4 * max_mb, include=("*.py",), exclude=NOT_THE_LIBRARY),
        Source(path=packages, max_mb=0.24 * max_mb, include=C_AND_CPP),
        Source(path="/usr/include", max_mb=0.12 * max_mb, include=C_AND_CPP),
        Source(path=packages, max_mb=0.08 * max_mb, include=("*.py",), exclude=("*/tests/*", "*/test/*")),
        Source(path=packages, max_mb=0.04 * max_mb, include=OTHER_LANGUAGES),
        Source(path="/usr/share", max_mb=0.06 * max_mb, include=OTHER_LANGUAGES),
        Source(path="/usr/lib", max_mb=0.06 * max_mb, include=OTHER_LANGUAGES),
    )
    return tuple(source for source in wanted if Path(source.path).is_dir())
