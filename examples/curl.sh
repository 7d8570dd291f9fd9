#!/bin/sh
# One turn with nothing but curl:
#   HOLDFAST_URL=http://127.0.0.1:4600 HOLDFAST_API_KEY=hfk_… sh examples/curl.sh
set -eu
url=${HOLDFAST_URL:-http://127.0.0.1:4600}
key=${HOLDFAST_API_KEY:?set it to a key that \`holdfast account add NAME\` or \`holdfast key create\` printed}

ask() {
  method=$1 path=$2
  shift 2
  curl --silent --show-error --fail-with-body --request "$method" "$url$path" \
    --header "x-api-key: $key" --header "content-type: application/json" "$@"
}
# The first value of a field in a JSON answer; use jq where you have it.
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }

session=$(ask POST /v1/sessions --data '{}' | sed 's/"agent".*//' | field id)
echo "session $session"

ask POST "/v1/sessions/$session/events" >/dev/null --data '{
  "events": [{ "type": "user.message", "content": [{ "type": "text", "text": "Create hello.txt with the text hello" }] }]
}'

# Every frame is three lines: event, id, data. session.status_idle comes when all work is over,
# and before that only with "requires_action": Claude asks something.
curl --silent --no-buffer --max-time 120 --header "x-api-key: $key" "$url/v1/sessions/$session/events/stream" |
  while read -r line; do
    case $line in
      data:*'"type":"agent.message"'* | data:*'"type":"agent.tool_use"'*) echo "${line#data: }" ;;
      data:*'"type":"session.status_idle"'*'"requires_action"'*) echo "asks" ;;
      data:*'"type":"session.status_idle"'*) echo "idle"; break ;;
    esac
  done

sandbox=$(ask GET /v1/sandboxes | field id)
ask POST "/v1/sandboxes/$sandbox/exec" --no-buffer --data '{ "command": ["cat", "hello.txt"] }'
