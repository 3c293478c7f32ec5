"""Requests derived from API operations say what their calls hold."""

import gzip
import json
import random

from needle_rs.train.catalogue import CatalogueSource, imperative


def source(data) -> CatalogueSource:
    lexicons = json.loads((data / "templates/lexicons.json").read_text())
    return CatalogueSource(sorted((data / "catalogue").glob("*.gz")), lexicons)


def test_arguments_are_said_and_required_ones_are_needed(data):
    rng, catalogue, refusals = random.Random(1), source(data), 0
    for _ in range(200):
        group = catalogue.group(rng, 2, 4)
        tools = {t.name: t for t in group.tools}
        for example in group.examples:
            refusals += not example.calls
            for call in example.calls:
                schema = tools[call["name"]].parameters
                assert set(schema["required"]) <= set(call["arguments"]) <= set(schema["properties"])
                assert all(str(value) in example.query for value in call["arguments"].values())
    assert 0 < refusals < 200


def test_plumbing_is_not_asked_for(data):
    group = source(data).group(random.Random(1), 1, 1)
    assert list(group.tools[0].parameters["properties"]) == ["order_id", "year"]


def test_operations_nobody_asks_for_are_left_out(data, tmp_path):
    path = tmp_path / "odd.jsonl.gz"
    required = {"type": "object", "properties": {"filter": {"type": "object"}}, "required": ["filter"]}
    records = [
        {"name": "a", "description": "Lists", "parameters": {"type": "object", "properties": {}}, "source": "x"},
        {"name": "b", "description": "Lists the items.", "parameters": required, "source": "x"},
    ]
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(r) + "\n" for r in records)
    assert CatalogueSource([path], {}).apis == []


def test_descriptions_become_requests():
    assert imperative("Returns a list of users. Requires a token.") == "Return a list of users"
    assert imperative("Searches the web") == "Search the web"
