"""Holds the OGC API to its own OpenAPI document: every route answers as the document says, with the types that it names and no member that it does
not; every parameter that is declared is taken and any other refused.

check_ogcapi.py BASE_URL prints how many answers were checked.
"""
import itertools
import sys

import jsonschema
import requests

# A good value for each parameter, and what must stand beside it.
GOOD = {
    "ui": ("swagger", {"f": "html"}),
    "width": ("64", {}),
    "height": ("64", {}),
    "crs": ("EPSG:3857", {}),
    "bbox": ("0,40,10,50", {}),
    "bbox-crs": ("EPSG:3857", {"bbox": "0,5000000,1000000,6000000"}),
    "center": ("8,50", {"width": "64", "height": "64"}),
    "center-crs": ("EPSG:3857", {"center": "900000,6400000", "width": "64", "height": "64"}),
    "subset": ("Lon(0:10),Lat(40:50)", {}),
    "subset-crs": ("EPSG:3857", {"subset": "E(0:1000000),N(5000000:6000000)"}),
    "scale-denominator": ("100000000", {"bbox": "0,40,10,50"}),
    "mm-per-pixel": ("0.28", {}),
    "bgcolor": ("0xff0000", {}),
    "transparent": ("false", {}),
}
PATIENCE_S = 120
PLACES = {"tileMatrix": "1", "tileRow": "0", "tileCol": "0"}
# Values that no parameter may have.
BAD = {
    "f": "nothing", "ui": "nothing", "width": "0", "height": "-1", "crs": "nowhere", "bbox": "1,2,3", "bbox-crs": "nowhere", "center": "1",
    "center-crs": "nowhere", "subset": "Lon(", "subset-crs": "nowhere", "scale-denominator": "0", "mm-per-pixel": "-1", "bgcolor": "nothing",
    "transparent": "maybe", "collections": "nothing",
}


def resolved(node, document):
    """The node with what its references mean in their place; objects name all of their members."""
    if isinstance(node, list):
        return [resolved(item, document) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return resolved(target, document)
    node = {key: resolved(value, document) for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        node["additionalProperties"] = False
    # OpenAPI 3.0 says by a flag what JSON schema says by a number.
    if node.pop("exclusiveMinimum", None) is True:
        node["exclusiveMinimum"] = node.pop("minimum")
    return node


class Check:
    def __init__(self, base):
        self.base, self.count, self.faults = base, 0, []
        self.document = requests.get(f"{base}/ogcapi/api?f=json", timeout=PATIENCE_S).json()

    def ask(self, operation, path, query, statuses):
        """One request; the answer is what the document says of one of the statuses."""
        answer = requests.get(f"{self.base}/ogcapi{path}", params=query, timeout=PATIENCE_S)
        self.count += 1
        said = f"{answer.url}: {answer.status_code} {answer.headers['Content-Type']}"
        if answer.status_code not in statuses:
            self.faults.append(f"{said} in place of {statuses}: {answer.text[:300]}")
            return
        response = operation["responses"].get(str(answer.status_code))
        kinds = {kind.split(";")[0]: kind for kind in response["content"]} if response else {}
        kind = answer.headers["Content-Type"].split(";")[0]
        if kind not in kinds:
            self.faults.append(f"{said}: the document names {sorted(kinds)}")
            return
        if kind.startswith("image/"):
            magic = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8"}[kind]
            if not answer.content.startswith(magic):
                self.faults.append(f"{said}: {answer.content[:8]}")
        if kind.endswith("json"):
            schema = response["content"][kinds[kind]]["schema"]
            validator = jsonschema.Draft202012Validator(schema)
            for error in itertools.islice(validator.iter_errors(answer.json()), 3):
                self.faults.append(f"{said}: {error.json_path}: {error.message[:300]}")

    def route(self, template, operation):
        parameters = {p["name"]: p for p in operation["parameters"]}
        in_path = [p for p in parameters.values() if p["in"] == "path"]
        in_query = [p for p in parameters.values() if p["in"] == "query"]
        choices = [p["schema"].get("enum") or [PLACES[p["name"]]] for p in in_path]
        paths = []
        for values in itertools.product(*choices):
            path = template
            for parameter, value in zip(in_path, values):
                path = path.replace("{%s}" % parameter["name"], value)
            paths.append(path)
        # A tile need not be there on every grid, nor a collection on every body.
        fine = (200, 404) if "{tileRow}" in template else (200,)
        for path in paths:
            self.ask(operation, path, {"f": parameters["f"]["schema"]["enum"][0]}, fine)
        path = paths[0]
        self.ask(operation, path, {"nothing": "1"}, (400,))
        for parameter in in_path:
            self.ask(operation, template.replace("{%s}" % parameter["name"], "nothing") if len(in_path) == 1 else
                     self.without(template, in_path, choices, parameter), {}, (400, 404))
        for parameter in in_query:
            name = parameter["name"]
            known = parameter["schema"].get("enum", [])
            values = [(value, {"f": "html"} if name == "ui" else {}) for value in known] or [GOOD.get(name, (self.first_collection(), {}))]
            for value, beside in values:
                beside = {key: said for key, said in beside.items() if key in parameters}
                if "width" in parameters and name not in ("width", "height", "scale-denominator"):
                    # Pictures of full size take their time.
                    beside = {"width": "64", **beside}
                self.ask(operation, path, {**beside, name: value}, (200,))
                self.ask(operation, path, {**beside, name: BAD[name]}, (400,))

    def first_collection(self):
        return self.document["components"]["parameters"]["collectionId"]["schema"]["enum"][0]

    @staticmethod
    def without(template, in_path, choices, missing):
        """The path with one of its parts naming nothing."""
        for parameter, values in zip(in_path, choices):
            template = template.replace("{%s}" % parameter["name"], "nothing" if parameter is missing else values[0])
        return template


def main():
    base, = sys.argv[1:]
    check = Check(base)
    for template, item in check.document["paths"].items():
        for operation in item.values():
            check.route(template, resolved(operation, check.document))
    nowhere = {"responses": {"404": resolved(check.document["components"]["responses"]["NotFound"], check.document)}}
    check.ask(nowhere, "/nothing", {"f": "json"}, (404,))
    if check.faults:
        raise SystemExit(f"{len(check.faults)} faults\n" + "\n".join(check.faults))
    print(len(check.document["paths"]), "routes", check.count, "answers")


main()
