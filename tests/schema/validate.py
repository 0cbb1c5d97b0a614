"""Holds YAML files against a JSON Schema, as an editor does: `validate.py SCHEMA FILE...`.

One line a file: `ok`, or where and why it is refused, the most telling of all reasons.
"""

import json
import re
import sys
from pathlib import Path

import jsonschema
import yaml


class Loader(yaml.SafeLoader):
    """YAML 1.2, where `on` and `no` are words, and keys that are text whatever they look like."""

    def construct_mapping(self, node, deep=False):
        pairs = [(key.value, self.construct_object(value, deep=True)) for key, value in node.value]
        if len({key for key, _ in pairs}) < len(pairs):
            raise yaml.YAMLError("a key is given twice")
        return dict(pairs)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node))


def judge(validator, path):
    """What is said of a file."""
    try:
        content = yaml.load(path.read_text(), Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"no YAML: {error}"
    worst = jsonschema.exceptions.best_match(validator.iter_errors({} if content is None else content))
    return f"{worst.json_path}: {worst.message}" if worst else "ok"


def main():
    """Judges all files."""
    schema = json.loads(Path(sys.argv[1]).read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    validator = kind(schema)
    for name in sys.argv[2:]:
        path = Path(name)
        print(path.name, judge(validator, path).replace("\n", " ")[:300], sep="\t")


if __name__ == "__main__":
    main()
