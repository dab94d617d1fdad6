"""Whether a description of an API is one (OpenAPI 3.1), by a library that is not ours. It comes on standard input."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

document = json.load(sys.stdin)
errors = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
print(json.dumps({"errors": errors, "operations": sum(len(path) for path in document["paths"].values())}))
