#!/usr/bin/env bash
# A server closed first and ended. Can its successor have the address at once?
#
#   127.0.0.1:3000 -> 127.0.0.1:40000   TIME-WAIT, left by the old listener's connection
#   127.0.0.1:3000                      the new listener
#
# Only where both have SO_REUSEADDR: bind(2) asks the old socket too, and TIME-WAIT remembers what the connection
# inherited from its listener (socket(7), SO_REUSEADDR). Nothing that is set on the newcomer alone helps.
source "$(dirname "$0")/lib/experiment.sh"

experiment "a restart over TIME-WAIT"

# restart PORT OLD NEW RESULT: SO_REUSEADDR on the old and on the new listener, and what bind gives.
restart() {
	perform "restart-$1" "
        old: socket
        setsockopt SO_REUSEADDR $2
        bind $FIRST:$1
        listen 1
        client: socket
        connect @old
        old: accept as connection
        close
        client: recv
        close
        connection: wait TIME-WAIT
        old: close
        new: socket
        setsockopt SO_REUSEADDR $3
        bind $FIRST:$1
        listen 1"
	expect_call "restart-$1" "connection: wait" 0
	expect_call "restart-$1" "new: bind" "$4"
	expect_state TIME-WAIT "$FIRST:$1"
}

restart 3000 0 0 EADDRINUSE
ask "SO_REUSEADDR on the new listener only. What does its bind(2) give?" 0 EADDRINUSE
restart 3001 0 1 EADDRINUSE
answer EADDRINUSE
restart 3002 1 0 EADDRINUSE
ask "SO_REUSEADDR on both. What does bind(2) give?" 0 EADDRINUSE
restart 3003 1 1 0
answer 0

conclude
