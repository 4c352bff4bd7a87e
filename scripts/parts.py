#!/usr/bin/env python3
"""Lists all crates that are linked into the program, from the output of `cargo metadata` on standard input.

  parts.py licences   prints their licences with the texts, which a package must carry
  parts.py sbom       prints a CycloneDX document: versions, licences, checksums and who depends on whom

The same source gives the same bytes: there is no time but SOURCE_DATE_EPOCH, no path and no random number.
"""

import datetime
import json
import os
import re
import sys
import tomllib
from pathlib import Path

TEXT = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)
# Sources and data with such names.
NOT_TEXT = re.compile(r"\.(rs|py|toml|json|ya?ml)$", re.IGNORECASE)
# A phrase of each licence, to find its text among those of other crates.
PHRASES = {"MIT": "permission is hereby granted, free of charge", "Apache-2.0": "apache license", "ISC": "isc license"}
# Only build scripts use it, but they put its files into the program.
EMBEDDED = "utoipa-swagger-ui-vendored"


def linked(metadata):
    """The packages that the program is linked of, each with the ids that it depends on. Not what only builds or tests use."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

    def is_linked(dependency):
        package = packages[dependency["pkg"]]
        is_macro = any("proc-macro" in target["kind"] for target in package["targets"])
        is_normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
        return package["name"] == EMBEDDED or (is_normal and not is_macro)

    waiting, found = [metadata["resolve"]["root"]], {}
    while waiting:
        identity = waiting.pop()
        if identity not in found:
            found[identity] = [dependency["pkg"] for dependency in nodes[identity]["deps"] if is_linked(dependency)]
            waiting += found[identity]
    parts = [(packages[identity], needed) for identity, needed in found.items()]
    return sorted(parts, key=lambda part: (part[0]["name"], part[0]["version"]))


def print_licences(parts):
    # The project's own licence is a file of its own in the package.
    packages = [package for package, _ in parts if package["source"]]
    users, bare = {}, []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        files = [path for path in Path(package["manifest_path"]).parent.rglob("*") if path.is_file()]
        texts = [path.read_text(errors="replace").strip() for path in sorted(files) if TEXT.match(path.name) and not NOT_TEXT.search(path.name)]
        if not texts:
            bare.append((name, package["license"] or ""))
        for text in texts:
            users.setdefault(text, []).append(name)
    whole = "\n".join(users).lower()
    for name, expression in bare:
        if not any(PHRASES[word] in whole for word in re.findall(r"[\w.-]+", expression) if word in PHRASES):
            sys.exit(f"{name} brings no text of its licence ({expression}), and no other crate does. Add a phrase of it to PHRASES.")
    print("Sigpersist is linked with these crates, each under the licence that it names. The texts follow.\n")
    for package in packages:
        print(f"{package['name']} {package['version']}: {package['license']}; {package['repository'] or 'no repository named'}")
    names = ", ".join(name for name, _ in bare)
    print(f"\nThese bring no text of their own; it is that of the licence they name, below: {names or 'none'}")
    for text, names in users.items():
        print(f"\n{'-' * 80}\n{', '.join(dict.fromkeys(names))}\n\n{text}")


def print_sbom(parts, root):
    locked = tomllib.loads(Path("Cargo.lock").read_text())["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    urls = {package["id"]: f"pkg:cargo/{package['name']}@{package['version']}" for package, _ in parts}

    def component(package):
        kind = "application" if package["id"] == root else "library"
        told = {"type": kind, "bom-ref": urls[package["id"]], "name": package["name"], "version": package["version"]}
        if package["description"]:
            told["description"] = " ".join(package["description"].split())
        told["purl"] = urls[package["id"]]
        if package["license"]:
            told["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        if checksum := checksums[package["name"], package["version"]]:
            told["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        if package["repository"]:
            told["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        return told

    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": next(component(package) for package, _ in parts if package["id"] == root),
        },
        "components": [component(package) for package, _ in parts if package["id"] != root],
        "dependencies": [
            {"ref": urls[package["id"]], "dependsOn": sorted({urls[other] for other in needed})} for package, needed in parts
        ],
    }
    json.dump(document, sys.stdout, indent=1)
    print()


metadata = json.load(sys.stdin)
if sys.argv[1:] == ["licences"]:
    print_licences(linked(metadata))
elif sys.argv[1:] == ["sbom"]:
    print_sbom(linked(metadata), metadata["resolve"]["root"])
else:
    sys.exit(__doc__)
