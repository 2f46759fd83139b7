"""Finds words that the project does not use: `words.py LIST PATH…`. LIST is a file like words.txt, and each PATH a file or a
folder."""

import os
import pathlib
import re
import sys

SUFFIXES = set(".bash .bats .conf .cpp .css .hpp .md .mq5 .py .rs .sed .service .sh .snap .sql .timer .toml .ts .tsx .yml".split())
NAMES = {".env.example", "Caddyfile", "Dockerfile", "Makefile"}
# Folders that hold files of other projects or build results.
SKIPPED = {".git", ".next", "__pycache__", "node_modules", "target"}
# The types in the client, which a script generates with the API's descriptions as comments.
GENERATED = re.compile(r"^// --- types of .*?^// --- end of the generated types", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ ")


def rules(path):
    lines = [line for line in pathlib.Path(path).read_text().splitlines() if line and not line.startswith("# ")]
    return [(re.compile(pattern), advice) for pattern, advice in (line.split(" => ") for line in lines)]


def files(paths):
    for path in map(pathlib.Path, paths):
        if not path.exists():
            sys.exit(f"there is no {path}")
        if path.is_file():
            yield path
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(set(folders) - SKIPPED)
            yield from (pathlib.Path(folder, name) for name in sorted(names))


def is_prose(path):
    if path.suffix in SUFFIXES or path.name in NAMES:
        return True
    return path.suffix == "" and path.read_bytes()[:2] == b"#!"


def findings(path, wanted):
    text = GENERATED.sub(lambda block: "\n" * block[0].count("\n"), path.read_text())
    for number, line in enumerate(text.splitlines(), 1):
        # A heading may be a shortened question, such as "What you need".
        line = HEADING.sub("", line) if path.suffix == ".md" else line
        for pattern, advice in wanted:
            if found := pattern.search(line):
                yield f"{path}:{number}: {found[0].strip()!r}: {advice}"


def main(words, *paths):
    wanted = rules(words)
    checked = [path for path in files(paths) if is_prose(path) and not path.samefile(words)]
    found = [finding for path in checked for finding in findings(path, wanted)]
    print("\n".join([*found, f"{len(checked)} files, {len(found)} findings"]))
    return 1 if found else 0


sys.exit(main(*sys.argv[1:]))
