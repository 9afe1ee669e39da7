"""Seed document to request, with a version: the version is the recipe in a job's identity.

In the manner of OSS-Instruct, but asking for a whole problem-solving file, richer in documentation than the seed, and not
for a question with its answer (Arctic-SnowCoder, section on enhanced pretraining).
"""

from generators.queue.job import Job

RECIPE = "file/1"
SEED_CHARACTERS = 6000
OPENING = "Seed file ({language}):"


def write_prompt(job: Job, seed: str) -> str:
    """The user message of a job, from as much of its seed as fits; at most 6,000 characters of it are taken."""
    return (
        f"Write one complete {job.language} source file that solves a realistic problem suggested by the seed below. "
        "Make it self-contained, document every function, and do not repeat the seed. "
        f"This is variation {job.index + 1}. Answer with the file in one fenced code block and nothing else.\n\n"
        f"{OPENING.format(language=job.language)}\n```\n{seed[:SEED_CHARACTERS]}\n```\n"
    )
