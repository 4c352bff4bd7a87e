walk(
  if type != "object" then .
  # Of two forms of a value, such as one tag and a list of tags, the one for programs.
  elif (.oneOf | type) == "array" and all(.oneOf[]; .type? and .type != "null") then
    .oneOf | (map(select(.type == "array")) + map(select(.type == "string")))[0]
  # A parameter that may be null may also be left out.
  elif (.anyOf | type) == "array" and any(.anyOf[]; . == {"type": "null"}) then .anyOf[0] + del(.anyOf)
  # JSON, where a body or an answer may also be a file.
  elif (.content? | type) == "object" and (.content | has("application/json")) then
    .content |= {"application/json": .["application/json"]}
  else . end)
| del(.paths["/signature"].get.responses["206"])
# The details of a failure, as a map.
| .components.schemas.Details = {"type": "object", "additionalProperties": true}
