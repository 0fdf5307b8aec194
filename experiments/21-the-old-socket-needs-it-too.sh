#!/usr/bin/env bash
# A program has a port, without SO_REUSEADDR. Can a newcomer set the option and have it too?
#
#   old  127.0.0.1:3000   without an option
#   new  127.0.0.1:3000   SO_REUSEADDR, or both options
#
# No: bind(2) asks the old socket as well, also one that is only bound, or whose listener is long gone (socket(7),
# SO_REUSEADDR). What counts is what it has by then: given the option late, it shares. A listener does not share for
# SO_REUSEADDR at all, only for SO_REUSEPORT on both.
source "$(dirname "$0")/lib/experiment.sh"

experiment "the old socket needs the option too"

ask "The old socket is bound, no more. With SO_REUSEADDR and SO_REUSEPORT on the new one, bind(2) gives" 0 EADDRINUSE
perform bound "
    old: socket
    bind $FIRST:3000
    new: socket
    setsockopt SO_REUSEADDR 1
    setsockopt SO_REUSEPORT 1
    bind $FIRST:3000
    old: setsockopt SO_REUSEADDR 1
    new: bind $FIRST:3000
    listen 1"
expect_call bound "new: bind" EADDRINUSE
answer EADDRINUSE
expect_call bound "old: setsockopt" 0
expect_call bound "new: bind" 0

ask "The old listener has closed; a connection it accepted lives on. The new one has SO_REUSEADDR. bind(2) gives" \
	0 EADDRINUSE
start_perform accepted --until "new: listen" "
    listener: socket
    bind $FIRST:3001
    listen 1
    client: socket
    connect @listener
    listener: accept as old
    listener: close
    new: socket
    setsockopt SO_REUSEADDR 1
    bind $FIRST:3001
    old: setsockopt SO_REUSEADDR 1
    new: bind $FIRST:3001
    listen 1
    pause"
expect_call accepted "new: bind" EADDRINUSE
answer EADDRINUSE
expect_established $FIRST:3001 $FIRST:*
# The connection itself is given the option, and now the restart works beside it.
expect_call accepted "old: setsockopt" 0
expect_call accepted "new: bind" 0
expect_state LISTEN $FIRST:3001

ask "The old socket listens, and both have SO_REUSEADDR by now. bind(2) gives" 0 EADDRINUSE
perform listening "
    old: socket
    bind $FIRST:3002
    listen 1
    setsockopt SO_REUSEADDR 1
    new: socket
    setsockopt SO_REUSEADDR 1
    bind $FIRST:3002
    old: setsockopt SO_REUSEPORT 1
    new: setsockopt SO_REUSEPORT 1
    bind $FIRST:3002
    listen 1"
expect_call listening "new: bind" EADDRINUSE
answer EADDRINUSE
expect_call listening "new: bind" 0

conclude
