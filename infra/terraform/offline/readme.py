"""The tables of the READMEs, from the variables and outputs themselves.

    readme.py [--write] FOLDER

Each README has them between `<!-- variables -->` and `<!-- end -->`. Without --write it says where one is not as it
should be. Also sees to it that everything has a description, and that what nearly every caller has to think about is
checked.
"""

import difflib
import pathlib
import sys

import hcl2

BEGIN, END = "<!-- variables -->\n", "<!-- end -->\n"


def parse(path):
    if not path.exists():
        return {}
    with path.open() as file:
        return hcl2.load(file)


def plain(value):
    """python-hcl2 keeps the quotes of strings, and wraps what is no literal."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("${") and text.endswith("}"):
            text = text[2:-1]
        return text[1:-1].replace('\\"', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text
    return value


def entries(blocks):
    return sorted((plain(name), body) for block in blocks for name, body in block.items())


def literal(value):
    value = plain(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(f'"{plain(item)}"' if isinstance(item, str) else literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{}" if not value else "{...}"
    return str(value) if isinstance(value, (int, float)) else f'"{value}"' if value != "null" else "null"


def type_of(body):
    text = " ".join(str(plain(body.get("type", "any"))).split())
    return "object" if text.startswith("object(") else text.replace("${", "").replace("}", "") if "object(" not in text else "map(object)"


def cell(text):
    return " ".join(str(text).split()).replace("|", "\\|")


def tables(folder):
    variables = entries(parse(folder / "variables.tf").get("variable", []))
    outputs = entries(parse(folder / "outputs.tf").get("output", []))
    missing = [f"{folder}: {name} has no description" for name, body in variables + outputs if not body.get("description")]
    lines = []
    if variables:
        lines += ["| variable | what | type | default |", "| --- | --- | --- | --- |"]
        lines += [f"| `{name}` | {cell(plain(body.get('description', '')))} | `{type_of(body)}` | {'`' + cell(literal(body['default'])) + '`' if 'default' in body else 'required'} |" for name, body in sorted(variables, key=lambda entry: ("default" in entry[1], entry[0]))]
        lines.append("")
    if outputs:
        lines += ["| output | what |", "| --- | --- |"]
        lines += [f"| `{name}` | {cell(plain(body.get('description', '')))} |" for name, body in outputs]
    return "\n".join(lines) + "\n", missing


def main():
    write, root = "--write" in sys.argv, pathlib.Path(sys.argv[-1])
    wrong = []
    for folder in sorted({path.parent for part in ("modules", "examples") for path in (root / part).rglob("versions.tf")}):
        readme = folder / "README.md"
        text = readme.read_text() if readme.exists() else ""
        if text.count(BEGIN) != 1 or text.count(END) != 1:
            wrong.append(f"{readme}: no {BEGIN.strip()} ... {END.strip()}")
            continue
        before, rest = text.split(BEGIN)
        inside, after = rest.split(END)
        wanted, missing = tables(folder)
        wrong += missing
        if write:
            readme.write_text(before + BEGIN + wanted + END + after)
        elif inside != wanted:
            wrong.append(f"{readme} (check.py --write-docs writes it):\n" + "\n".join(difflib.unified_diff(inside.splitlines(), wanted.splitlines(), "README", "code", lineterm="", n=0)))
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
