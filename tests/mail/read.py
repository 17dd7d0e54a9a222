#!/usr/bin/python3
"""read.py: decodes mail with Python's own parser, so that the code under test is not its own witness.

On standard input: paths of messages, one per line. On standard output, per message, a line of JSON:
{"headers": [[name, decoded value], …], "text": …, "html": …, "defects": […]}; text and html are decoded parts,
or null.
"""

import email.policy
import json
import sys
from email.parser import BytesParser


def content(message, kind):
    for part in message.walk():
        if part.get_content_type() == f"text/{kind}":
            return part.get_content()
    return None


for path in sys.stdin.read().splitlines():
    with open(path, "rb") as file:
        message = BytesParser(policy=email.policy.default).parse(file)
    defects = [type(defect).__name__ for part in message.walk() for defect in part.defects]
    defects += [f"{name}: {type(defect).__name__}" for name, value in message.items() for defect in value.defects]
    print(json.dumps({
        "headers": [[name, str(value)] for name, value in message.items()],
        "text": content(message, "plain"),
        "html": content(message, "html"),
        "defects": defects,
    }))
