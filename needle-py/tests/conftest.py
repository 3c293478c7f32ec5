import gzip
import json

import pytest

import needle_rs


def tool(domain: str, name: str, queries: list[tuple[str, dict]], **properties: dict) -> dict:
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    spec = {"name": name, "description": f"Does {name} in the {domain}.", "parameters": parameters}
    rows = [{"q": q, "args": args} for q, args in queries]
    return {"kind": "tool", "domain": domain, "tool": spec, "queries": rows}


def operation(source: str, name: str, description: str) -> dict:
    parameters = {
        "type": "object",
        "properties": {"order_id": {"type": "string"}, "year": {"type": "integer"}, "page_token": {"type": "string"}},
        "required": ["order_id"],
    }
    return {"name": name, "description": description, "parameters": parameters, "source": source}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder of the real form with a handful of made-up domains."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("templates", "train", "catalogue", "text"):
        (root / folder).mkdir()
    lexicons = {
        "room": ["kitchen", "hall"],
        **{name: [f"a {name}"] for name in ("topic", "item", "product", "person", "company")},
        "chatter": ["hello"],
        "filler_prefix": ["please"],
        "filler_suffix": ["thanks"],
    }
    (root / "templates/lexicons.json").write_text(json.dumps(lexicons))
    for domain in ("lights", "music", "doors", "mail"):
        records = [
            tool(
                domain,
                f"{domain}_{verb}",
                [(f"{verb} the {domain} in the {{room}} {i}", {"room": "{room}"}) for i in range(12)],
                room={"type": "string"},
                level={"type": "integer"},
            )
            for verb in ("start", "stop", "list")
        ]
        text = "".join(json.dumps(r) + "\n" for r in records)
        (root / f"templates/{domain}.jsonl").write_text(text)
    row = {
        "query": "open the gate",
        "tools": [
            {"name": "open_gate", "description": "Opens it.", "parameters": {"type": "object", "properties": {}}}
        ],
        "answers": [{"name": "open_gate", "arguments": {}}],
    }
    with gzip.open(root / "train/snips.jsonl.gz", "wt") as file:
        file.write(json.dumps(row) + "\n")
    operations = [operation("shop", f"get_{noun}", f"Retrieves the {noun} of an order.") for noun in ("bill", "state")]
    with gzip.open(root / "catalogue/shop.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(o) + "\n" for o in operations)
    return root


@pytest.fixture(scope="session")
def pieces():
    """A tokenizer of characters and a few merges."""
    from needle_rs.train import tokenizer

    return tokenizer.train(
        ['[{"name":"lights_start","arguments":{"room":"kitchen"}}]', "start the lights in the hall"] * 3, 420
    )


@pytest.fixture(scope="session")
def model() -> needle_rs.Model:
    """The model of the wheel."""
    return needle_rs.Model.default()
