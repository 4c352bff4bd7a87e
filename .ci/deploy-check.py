"""Checks deploy/ against the server's source: metrics, labels and their values, settings, times to stop, and files that are
compiled in.

Writes the dashboard's queries as rules to the file in its argument, for promtool to parse.
"""

import json
import os
import re
import sys
import tomllib
from pathlib import Path

import yaml

DEPLOY = Path("deploy")
DASHBOARD = json.loads((DEPLOY / "grafana/sigpersist.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())
TESTS = yaml.safe_load((DEPLOY / "prometheus/alerts.test.yaml").read_text())
UNIT = (DEPLOY / "systemd/sigpersist.service").read_text()
OBJECTS = list(yaml.safe_load_all((DEPLOY / "kubernetes/sigpersist.yaml").read_text()))
SOURCES = {path: path.read_text() for folder in ("src", "crates") for path in Path(folder).rglob("*.rs")}
# Labels and metrics that Prometheus and the format of histograms add.
ADDED_LABELS = {"job", "instance", "le"}
ADDED_METRICS = {"up": set()}
# Time for background work after the server has stopped; see `shutdown_timeout` in src/cli/serve.rs.
BACKGROUND_S = 5

problems = []


def expect(holds, problem):
    if not holds:
        problems.append(problem)


def metrics_of_the_server():
    """The names of the server's metrics with their labels."""
    text = SOURCES[Path("crates/runtime/src/metrics.rs")]
    names = dict(re.findall(r'const (\w+): &str = "(sigpersist_\w+)";', text))
    labels = {name: set() for name in names.values()}
    for constant, arguments in re.findall(r"\b(?:counter|gauge|histogram)!\(\s*(\w+)((?:[^()]|\([^()]*\))*)\)", text):
        labels[names[constant]] |= set(re.findall(r'"(\w+)" =>', arguments))
    return labels


METRICS = metrics_of_the_server()


def check_query(where, query, is_test=False):
    """Checks that everything that a query names exists. Returns the server's metrics in it."""
    plain = re.sub(r'"[^"]*"', '""', query)
    selectors = re.findall(r"(\w+)\s*(?:\{([^}]*)\})", plain)
    used, allowed = set(), set(ADDED_LABELS)
    for word in re.findall(r"\b(?:sigpersist_\w+|up)\b", plain) + re.findall(r'__name__=~?"([^"]*)"', query):
        for name in word.split("|"):
            metric = name if name in METRICS | ADDED_METRICS else re.sub(r"_(bucket|sum|count)$", "", name)
            expect(metric in METRICS | ADDED_METRICS, f"{where}: there is no metric {name}")
            used.add(metric)
            allowed |= METRICS.get(metric, set())
    expect(used or is_test, f"{where}: no metric in {query}")
    named = [name for _, inner in selectors for name in re.findall(r"(\w+)\s*(?:=|!)", inner)]
    named += [name.strip() for inner in re.findall(r"\bby \(([^)]*)\)", plain) for name in inner.split(",")]
    for label in set(named) - {"__name__", "alertname", "alertstate", "severity"}:
        expect(label in allowed, f"{where}: no metric in {query} has the label {label}")
    for label, values in re.findall(r'\b(code|queue|kind|verdict|state|route|method|from)(?:=|!=|=~|!~)"([^"$]*)"', query):
        for value in values.split("|"):
            literal = f'"{value}"'
            known = ".*" in value or any(literal in text for text in SOURCES.values())
            expect(known, f"{where}: the source has no {label} {value}")
    return used


def check_dashboard():
    shown, queries, places = set(), [], []
    panels = DASHBOARD["panels"]
    identities = [panel["id"] for panel in panels]
    expect(len(identities) == len(set(identities)), "dashboard: two panels have the same id")
    for panel in panels:
        title, place = panel["title"], panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        expect(place["x"] + place["w"] <= 24, f"dashboard: {title} is wider than the grid")
        expect(all(cells.isdisjoint(other) for other in places), f"dashboard: {title} covers another panel")
        places.append(cells)
        if panel["type"] == "row":
            continue
        expect(panel.get("description"), f"dashboard: {title} has no description")
        for target in panel["targets"]:
            expect(target["datasource"]["uid"] == "${datasource}", f"dashboard: {title} has its own data source")
            shown |= check_query(f"dashboard, {title}", target["expr"])
            queries.append(target["expr"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            used = check_query(f"dashboard, variable {variable['name']}", selector)
            known = set(ADDED_LABELS).union(*(METRICS[name] for name in used))
            expect(label in known, f"dashboard, variable {variable['name']}: no label {label}")
    for name in METRICS:
        expect(name in shown, f"dashboard: the metric {name} is not shown")
    text = json.dumps(DASHBOARD)
    known = {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {"__rate_interval", "__range", "__all"}
    for name in set(re.findall(r"\$\{?(\w+)", text)):
        expect(name in known, f"dashboard: there is no variable {name}")
    return queries


def write_rules(queries, path):
    """Writes a rule for each query, with values for the variables as Grafana inserts them."""
    rules = []
    for number, query in enumerate(queries):
        query = query.replace("$__rate_interval", "1m").replace("$__range", "1h")
        rules.append({"record": f"query:{number}", "expr": re.sub(r"\$(\w+)", ".*", query)})
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))


def check_alerts():
    fired = {
        name
        for test in TESTS["tests"]
        for query in test["promql_expr_test"]
        for sample in query.get("exp_samples", [])
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    for test in TESTS["tests"]:
        for series in test["input_series"]:
            check_query(f"test: {test['name']}", series["series"], is_test=True)
    for rule in (rule for group in RULES["groups"] for rule in group["rules"]):
        name = rule["alert"]
        check_query(name, rule["expr"])
        expect("for" in rule, f"{name} has no `for`")
        expect(rule["labels"].get("severity") in {"critical", "warning", "info"}, f"{name} has no severity")
        for annotation in ("summary", "description"):
            expect(rule["annotations"].get(annotation), f"{name} has no {annotation}")
        expect(name in fired, f"{name} fires in no test")


def known_settings():
    """All settings of sigpersist.toml with their defaults, including those that are commented out."""
    lines = Path("sigpersist.toml").read_text().splitlines()
    return tomllib.loads("\n".join(line[1:] if re.match(r"#\w", line) else line for line in lines))


def check_settings():
    settings = known_settings()
    sections = "|".join(name for name, value in settings.items() if isinstance(value, dict))
    for path in (path for path in DEPLOY.rglob("*") if path.is_file()):
        for section, key in re.findall(rf"(?<![\w./-])({sections})\.([a-z]\w+)\b(?![./-])", path.read_text()):
            expect(key in settings[section], f"{path}: there is no setting {section}.{key}")
        for variable in re.findall(r"SIGPERSIST_(\w+)", path.read_text()):
            name = variable.lower()
            section, _, key = name.partition("_")
            known = name in settings or key in settings.get(section, {}) or name == "config"
            expect(known, f"{path}: there is no setting for SIGPERSIST_{variable}")
    config = next(thing for thing in OBJECTS if thing["kind"] == "ConfigMap")
    given = tomllib.loads(config["data"]["sigpersist.toml"])
    for section, values in given.items():
        for key, value in values.items():
            default = settings.get(section, {}).get(key)
            expect(type(value) is type(default), f"kubernetes: there is no setting {section}.{key} of that type")
    return given


def check_times_to_stop(given):
    """Checks that Kubernetes and systemd wait for the server's longest shutdown."""
    pod = next(thing for thing in OBJECTS if thing["kind"] == "Deployment")["spec"]["template"]["spec"]
    http = given["http"]
    needed = (http["shutdown_delay_ms"] + http["shutdown_timeout_ms"]) / 1000 + BACKGROUND_S
    expect(pod["terminationGracePeriodSeconds"] > needed, f"kubernetes: stopping may take {needed} s")
    times = [int(ms) for ms in re.findall(r"SIGPERSIST_HTTP_SHUTDOWN_(?:DELAY|TIMEOUT)_MS=(\d+)", UNIT)]
    needed = sum(times) / 1000 + BACKGROUND_S
    patience = int(re.search(r"^TimeoutStopSec=(\d+)s$", UNIT, re.M)[1])
    expect(len(times) == 2 and patience > needed, f"systemd: stopping may take {needed} s")
    background = re.search(r"shutdown_timeout\(std::time::Duration::from_secs\((\d+)\)\)", SOURCES[Path("src/cli/serve.rs")])
    expect(background and int(background[1]) == BACKGROUND_S, "src/cli/serve.rs waits for another time than BACKGROUND_S in .ci/deploy-check.py")
    expect(not re.search(r"^MemoryDenyWriteExecute", UNIT, re.M), "systemd: no plugin runs with MemoryDenyWriteExecute")


def check_context_of_image():
    """Checks that the image build gets all files that are compiled in. Tests do not run there."""
    allowed = [line[1:] for line in Path(".containerignore").read_text().splitlines() if line.startswith("!")]
    included = {"Cargo.toml", "Cargo.lock", "migrations"}
    for path, text in SOURCES.items():
        text = text.partition("#[cfg(test)]\nmod tests {")[0]
        for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]*)"', text):
            included.add(os.path.normpath(path.parent / name))
        crate = Path(*path.parts[:2]) if path.parts[0] == "crates" else Path()
        for name in re.findall(r'^    path: "([^"]*)"', text, re.M):
            included.add(os.path.normpath(crate / name))
    for name in included:
        here = any(name == other or name.startswith(f"{other}/") for other in allowed)
        expect(here, f".containerignore: {name} is compiled in, but the build of the image does not get it")


queries = check_dashboard()
write_rules(queries, Path(sys.argv[1]))
check_alerts()
check_times_to_stop(check_settings())
check_context_of_image()
if problems:
    sys.exit("\n".join(problems))
print(f"{len(queries)} queries show all {len(METRICS)} metrics, and the server has every name in deploy/.")
