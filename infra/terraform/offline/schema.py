"""What a Terraform provider takes, read from its npm package.

The language bindings that are made from each provider name every argument of every resource, with its type and whether
it is required. Only the resource types that are asked for are read, straight from the package's archive: nothing in it
is unpacked or run. What the bindings do not say (allowed values, arguments that exclude each other) is not known here.
"""

import json
import re
import tarfile

# Optional arguments that the provider fills in when they are absent; where a package does not say which those are.
FILLED_IN = {"id", "ip_address", "project", "region", "zone"}
SIMPLE = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
STORED = {
    "stringMap": ["map", "string"], "booleanMap": ["map", "bool"], "numberMap": ["map", "number"],
    "anyMap": ["map", "dynamic"], "stringList": "string", "numberList": "number", "booleanList": "bool",
    "stringListList": ["list", "string"], "stringMapList": ["map", "string"],
}
READ = {
    "String": "string", "Number": "number", "Boolean": "bool", "List": ["list", "string"], "NumberList": ["list", "number"],
    "StringMap": ["map", "string"], "BooleanMap": ["map", "bool"], "NumberMap": ["map", "number"],
}
MAPS = {"StringMap": "string", "BooleanMap": "bool", "NumberMap": "number", "StringMapList": ["map", "string"]}

CLASS = re.compile(r"^(?:export )?class (\w+) extends cdkt[fn]\.(\w+) \{\n(.*?)^\}", re.M | re.S)
STRUCT = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.M | re.S)
TOP = re.compile(r"^    synthesizeHclAttributes\(\) \{\n(.*?)^    \}", re.M | re.S)
ROW = re.compile(r'"?(\w+)"?: \{\s*value: [^\n]*\n\s*isBlock: (\w+),\s*type: "(\w+)",\s*storageClassType: "(\w+)"')
GETTER = re.compile(r"get (\w+)\(\) \{\s*return (cdkt[fn]\.Fn\.tolist\()?this\.(?:get(\w+)Attribute|interpolationForAttribute)\('(\w+)'")
NESTED = re.compile(r'\b_(\w+) = new (?:cdkt[fn]\.)?(\w+)\(this, "(\w+)"(?:, (true|false))?')
FLAGS = re.compile(r"// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)")
SOURCE = re.compile(r"registry\.terraform\.io/providers/([\w-]+/[\w-]+)/(\d+\.\d+\.\d+)/")


def extract(archive, types):
    """The schema of the provider in `archive`, for `types`: pairs of "resource" or "data", and a name."""
    with tarfile.open(archive) as package:
        members = {member.name: member for member in package.getmembers()}

        def text(folder):
            inside = [n for n in members if n == f"package/lib/{folder}/index.js" or n.startswith(f"package/lib/{folder}/index-structs/") and n.endswith(".js")]
            return "\n".join(package.extractfile(members[name]).read().decode() for name in sorted(inside))

        hints = package.extractfile(members["package/lib/provider/index.d.ts"]).read().decode()
        source, version = SOURCE.search(hints).groups()
        prefix = source.split("/")[1] + "_"
        schema = {"source": source, "version": version, "provider": Bindings(text("provider")).top("TerraformProvider"),
                  "resources": {}, "data_sources": {}}
        schema["provider"]["attributes"].pop("alias", None)
        for kind, name in sorted(types):
            if not name.startswith(prefix):
                continue
            folder = ("data-" + prefix.rstrip("_") + "-" if kind == "data" else "") + name.removeprefix(prefix).replace("_", "-")
            source_text = text(folder)
            # A name that the provider does not have is Terraform's to complain of.
            if source_text:
                block = Bindings(source_text).top("TerraformDataSource" if kind == "data" else "TerraformResource")
                schema["data_sources" if kind == "data" else "resources"][name] = block
    return schema


class Bindings:
    """One file of bindings: a resource, and the blocks inside it."""

    def __init__(self, text):
        self.classes = {name: (base, body) for name, base, body in CLASS.findall(text)}
        self.rows = {name.lower(): table(body) for name, body in STRUCT.findall(text)}

    def top(self, base):
        for found, body in self.classes.values():
            if found == base:
                inside = TOP.search(body)
                return self.block(body, table(inside.group(1)) if inside else {}, top=True)
        raise SystemExit(f"no {base} in these bindings")

    def block(self, body, rows, top=False):
        out = {"attributes": {}, "blocks": {}}
        flags = {name: tuple(word == "true" for word in words) for name, *words in FLAGS.findall(body)}
        nested = {name: (prop, klass, is_set == "true") for prop, klass, name, is_set in NESTED.findall(body)}
        getters = {name: (prop, ["set", READ[kind][1]] if as_list and kind.endswith("List") else READ.get(kind, "string"))
                   for prop, as_list, kind, name in GETTER.findall(body)}
        for name in sorted({*rows, *nested, *getters}):
            prop = nested[name][0] if name in nested else getters[name][0] if name in getters else camel(name)
            computed, optional, required = flags.get(name) or inferred(body, prop, name, name in rows)
            is_block, kind, stored = rows.get(name, (False, None, None))
            if is_block:
                many = kind in ("list", "set")
                single = many and name in nested and nested[name][1].endswith("OutputReference")
                out["blocks"][name] = {
                    "nesting": "single" if kind == "struct" else kind, "max": int(single), "min": int(many and required),
                    "block": self.inner(stored)}
                continue
            if name in rows:
                of = attribute_type(kind, stored)
            elif name in nested and nested[name][1] in MAPS:
                of = ["map", MAPS[nested[name][1]]]
            elif name in nested:
                of = ["set" if nested[name][2] else "list", as_object(self.inner(nested[name][1]))]
                computed, optional, required = True, False, False
            else:
                of = getters[name][1]
            if name == "id" and top:
                computed, optional, required = True, True, False
            out["attributes"][name] = {"type": of, "computed": computed, "optional": optional, "required": required}
        return out

    def inner(self, name):
        struct = re.sub(r"(OutputReference|List|Map)$", "", name)
        rows = self.rows.get(struct.lower(), {})
        _, body = self.classes.get(struct + "OutputReference", ("", ""))
        if not body:  # of a provider's own settings there is no class: what is required is not known
            body = "\n".join(f"// {row} - computed: false, optional: true, required: false" for row in rows)
        return self.block(body, rows)


def table(body):
    return {name: (is_block == "true", kind, stored) for name, is_block, kind, stored in ROW.findall(body)}


def inferred(body, prop, name, has_row):
    capital = prop[0].upper() + prop[1:]
    settable = has_row or f"set {prop}(" in body or f"put{capital}(" in body
    optional = settable and f"reset{capital}()" in body
    return not settable or optional and name in FILLED_IN, optional, settable and not optional


def attribute_type(kind, stored):
    if kind == "simple":
        return SIMPLE.get(stored, "string")
    if kind == "map":
        return STORED.get(stored, ["map", "string"])
    if stored in STORED:
        return [kind, STORED[stored]]
    return "dynamic"


def as_object(block):
    members = {name: attribute["type"] for name, attribute in block["attributes"].items()}
    members |= {name: [inner["nesting"] if inner["nesting"] != "single" else "list", as_object(inner["block"])] for name, inner in block["blocks"].items()}
    return ["object", {name: "string" if of == "dynamic" else of for name, of in members.items()}]


def camel(name):
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def write(archive, types, path):
    schema = extract(archive, types)
    path.write_text(json.dumps(schema, sort_keys=True))
    return schema
