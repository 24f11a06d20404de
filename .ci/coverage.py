"""Line coverage by file from an lcov report; fails where WHOLE files have lines that no test runs.

Tests are not counted: a file ends where its `mod tests` begins.
"""

import os
import sys

WHOLE = ("src/plugin/auth/", "src/plugin/rate_limit/", "src/breaker")


def end_of_code(path):
    """The number of the line at which the tests of a file begin, or a number beyond its end."""
    lines = open(path).read().splitlines()
    return next((n for n, line in enumerate(lines, 1) if line == "#[cfg(test)]"), len(lines) + 1)


def lines_by_file(report):
    """For each file of this checkout: how often each of its lines of code ran."""
    root, files, name, end = os.getcwd() + "/", {}, None, 0
    for line in report:
        kind, _, rest = line.strip().partition(":")
        if kind == "SF":
            name = rest.removeprefix(root) if rest.startswith(root) and not any(part in rest for part in ("/tests", "/simulation")) else None
            end = end_of_code(rest) if name else 0
        elif kind == "DA" and name:
            number, count = (int(part) for part in rest.split(",")[:2])
            if number < end:
                runs = files.setdefault(name, {})
                runs[number] = runs.get(number, 0) + count
    return files


def main():
    files = lines_by_file(open(sys.argv[1]))
    missed, total, run = [], 0, 0
    for name, lines in sorted(files.items(), key=lambda item: sum(map(bool, item[1].values())) / len(item[1])):
        covered = sum(1 for count in lines.values() if count)
        total, run = total + len(lines), run + covered
        print(f"{100 * covered / len(lines):6.1f} %  {covered:5} of {len(lines):5}  {name}")
        if name.startswith(WHOLE):
            missed += [f"{name}:{number}" for number, count in sorted(lines.items()) if not count]
    print(f"{100 * run / total:6.1f} %  {run:5} of {total:5}  all")
    if missed:
        sys.exit("coverage: no test runs " + ", ".join(missed))


main()
