"""Which characters of an answer carry loss: those that the engine's grammar leaves to the model."""

import pytest

from needle_rs.train.target import FORCED, answer_text

SCHEMAS = {
    "light_set": {
        "properties": {
            "room": {"type": "string"},
            "mode": {"enum": ["on", "off"]},
            "level": {"type": "integer"},
            "fade": {"type": "boolean"},
        },
        "required": ["room"],
    },
    "light_get": {"properties": {}},
}
LIGHT_SET = {"room": "hall", "mode": "off", "level": 7, "fade": True}


@pytest.mark.parametrize(
    ("calls", "text", "free"),
    [
        ([], "[]", "_]"),
        (
            [{"name": "light_get", "arguments": {}}],
            '[{"name":"light_get","arguments":{}}]',
            "_{______________g___________________]",
        ),
        # After the required room each optional key, or the end, is a choice; a string and a number choose their end.
        (
            [{"name": "light_set", "arguments": LIGHT_SET}],
            '[{"name":"light_set","arguments":{"room":"hall","mode":"off","level":7,"fade":true}}]',
            '_{______________s_________________________hall",_m_______f__,_l______7,_______t_____]',
        ),
    ],
)
def test_only_choices_are_free(calls, text, free):
    answer = answer_text(calls, SCHEMAS)
    shown = "".join("_" if cls == FORCED else char for char, cls in zip(answer.text, answer.classes, strict=True))
    assert answer.text == text
    assert shown == free
