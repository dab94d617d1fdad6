"""Whether events are ones of the published OCSF schema, by a library that is not ours.

They come on standard input, one a line. The schema of an event's class is that of the version and the profiles the
event itself names.
"""

import collections
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

validators = {}


def validator(event):
    metadata = event["metadata"]
    key = (metadata["version"], event["class_uid"], tuple(metadata.get("profiles", [])))
    if key not in validators:
        schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=key[0]))
        name = schema.lookup_class_name_from_uid(key[1])
        validators[key] = Draft202012Validator(schema.get_class_schema(name, list(key[2])))
    return validators[key]


classes, errors = collections.Counter(), []
for number, line in enumerate(sys.stdin):
    event = json.loads(line)
    classes[str(event["class_uid"])] += 1
    # What the classes demand of each number the library knows; how the numbers hang together it does not.
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        errors.append({"line": number, "what": "type_uid"})
    for error in validator(event).iter_errors(event):
        errors.append({"line": number, "what": f"{error.json_path}: {error.message}"[:300]})
print(json.dumps({"classes": classes, "errors": errors[:20]}))
