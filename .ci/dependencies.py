"""Checks the dependencies against deny.toml where cargo-deny is not installed.

Reads the output of `cargo metadata` from standard input. Knows of deny.toml what
ours uses: [licenses] allow, [bans] deny; all sources must be one registry.
"""

import collections
import json
import re
import sys
import tomllib


def main():
    with open(sys.argv[1], "rb") as file:
        rules = tomllib.load(file)
    packages = json.load(sys.stdin)["packages"]
    others = [package for package in packages if package["source"] is not None]
    faults = [*licences(packages, rules), *bans(others, rules), *sources(others, rules)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(others)} dependencies, {len(faults)} faults")
    sys.exit(bool(faults))


def licences(packages, rules):
    allowed = set(rules["licenses"]["allow"])
    for package in packages:
        expression = package["license"]
        if not expression or not is_allowed(expression, allowed):
            yield f"{package['name']} {package['version']}: licence {expression}"


def is_allowed(expression, allowed):
    """Evaluates an SPDX expression; `/` is how older crates write OR."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def alternatives():
        result = conjunction()
        while words and words[0] == "OR":
            words.pop(0)
            # Both sides are read, whatever the first one gave.
            result = conjunction() or result
        return result

    def conjunction():
        result = one()
        while words and words[0] == "AND":
            words.pop(0)
            result = one() and result
        return result

    def one():
        word = words.pop(0)
        if word == "(":
            result = alternatives()
            words.pop(0)
            return result
        if words and words[0] == "WITH":
            words.pop(0)
            word = f"{word} WITH {words.pop(0)}"
        return word in allowed

    return alternatives()


def bans(packages, rules):
    versions = collections.defaultdict(set)
    for package in packages:
        versions[package["name"]].add(package["version"])
    for ban in rules["bans"]["deny"]:
        name = ban["crate"]
        found = sorted(versions[name])
        if len(found) > (1 if ban.get("deny-multiple-versions") else 0):
            yield f"{name}: versions {', '.join(found)}: {ban.get('reason', 'only one may be there')}"


def sources(packages, rules):
    # Most packages come from the default registry; what does not is what is looked for.
    counted = collections.Counter(package["source"] for package in packages)
    usual = counted.most_common(1)[0][0]
    for package in packages:
        if package["source"] != usual or not usual.startswith("registry+"):
            yield f"{package['name']} {package['version']}: from {package['source']}"


main()
